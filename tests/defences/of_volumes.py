"""Defences of volumes and of what is mounted."""

from defence import BOTH, Defence

ATTACKS = "volumes/test_volume_attacks.py::"
OPTIONS = "volumes/test_volume_options.py::"
PLUGINS = "volumes/test_volume_plugins.py::"

DEFENCES = (
    Defence(
        "4",
        "a link in the image leads a volume over /proc",
        "launch/root.py",
        "        self._refuse_proc(root, target)\n",
        "",
        (ATTACKS + "test_a_link_leads_no_volume_over_proc",),
        BOTH,
    ),
    Defence(
        "5",
        "a subpath leads out of its volume through a link",
        "launch/root.py",
        "os.O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)",
        "os.O_PATH, RESOLVE_NO_MAGICLINKS)",
        (ATTACKS + "test_a_subpath_leads_nowhere_out_of_its_volume",),
        BOTH,
    ),
    Defence(
        "5",
        "a subpath climbs out of its volume as it is written",
        "engine/mountspecs.py",
        "    if subpath and not _is_local(subpath):",
        "    if False:",
        (ATTACKS + "test_a_subpath_that_climbs_is_refused",),
        BOTH,
    ),
    Defence(
        "5",
        "a subpath climbs out of an image as it is written",
        "engine/mountspecs.py",
        '    if not _is_local(subpath or "."):',
        "    if False:",
        ("volumes/test_image_mounts.py::test_what_cannot_be_shown_is_refused",),
        BOTH,
    ),
    Defence(
        "5",
        "a volume is filled from the host through a link in the image",
        "engine/volumes/filling.py",
        "        folder = view.folder(place)\n",
        "        folder = os.open(place, os.O_RDONLY)\n",
        ("volumes/test_volume_filling.py::test_a_link_in_the_image_leads_inside_it",),
        BOTH,
    ),
    Defence(
        "25",
        "a volume plugin that sends a byte now and then is waited for without an end",
        "engine/volumes/plugin.py",
        "        timer.start()\n",
        "",
        (PLUGINS + "test_a_plugin_that_hangs_is_waited_for_a_bounded_time",),
    ),
    Defence(
        "26",
        "a volume's name is a path",
        "engine/volumes/volumes.py",
        "    if not _NAME.fullmatch(name):",
        "    if False:",
        ("volumes/test_volume_life.py::test_a_name_is_no_path",),
        BOTH,
    ),
    Defence(
        "26",
        "a volume plugin's name is a path",
        "engine/volumes/plugins.py",
        "self._address(name) if _NAME.fullmatch(name) else None",
        "self._address(name)",
        (PLUGINS + "test_a_driver_is_no_path",),
        BOTH,
    ),
    Defence(
        "26",
        "a volume plugin has the engine's own folders mounted",
        "engine/volumes/plugin.py",
        '        return self._checked_path(said or "")',
        '        return said or ""',
        (PLUGINS + "test_a_path_that_cannot_be_shown_is_refused",),
        BOTH,
    ),
    Defence(
        "26",
        "the engine's own folders are a volume's device",
        "engine/volumes/local.py",
        '        refuse_own(f"device {device}", real, self._own)\n',
        "",
        (OPTIONS + "test_the_engines_own_folders_are_no_device",),
    ),
    Defence(
        "26",
        "a folder above the engine's is a volume's device",
        "engine/volumes/local.py",
        '            if folder.startswith(real.rstrip("/") + "/"):',
        "            if False:",
        (OPTIONS + "test_the_engines_own_folders_are_no_device",),
    ),
)
