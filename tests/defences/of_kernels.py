"""Defences against images, notebooks and code in kernels that want more than a container."""

from defence import Defence

CLAIMS = "kernel/test_lock_claims.py::"
CONTROL = "kernel/test_control.py::"
IMAGES = "kernel/test_injected_images.py::"
SOCKETS = "kernel/test_kernel_sockets.py::"

DEFENCES = (
    Defence(
        "32",
        "the notebook's folder has modules that a kernel's process on the host imports",
        "kernel/processes.py",
        "sys.path[:] = [folder for folder in sys.path if folder]; ",
        "",
        ("kernel/test_kernel_cwd.py",),
    ),
    Defence(
        "32",
        "a notebook asks for a folder of the host",
        "kernel/notebooks/claims.py",
        "        elif trusted:\n            yield text",
        "        elif True:\n            yield text",
        (CLAIMS + "test_what_reaches_past_the_container_is_refused_and_named",),
    ),
    Defence(
        "32",
        "a notebook asks for the host's network",
        "kernel/notebooks/claims.py",
        "if trusted or asked.network in _NETWORKS:",
        "if True:",
        (CLAIMS + "test_what_reaches_past_the_container_is_refused_and_named",),
    ),
    Defence(
        "32",
        "a notebook comes with a link that leads out of its folder",
        "kernel/notebooks/claims.py",
        'return there if os.path.commonpath([here, there]) == here and ":" not in there else None',
        "return there",
        (CLAIMS + "test_a_link_that_leads_out_of_its_folder_is_refused",),
    ),
    Defence(
        "32",
        "a notebook lies in the home folder, and is shown all of it",
        "kernel/notebooks/claims.py",
        "if os.path.commonpath([home, here]) == here:",
        "if False:",
        (CLAIMS + "test_a_folder_with_the_home_in_it_is_not_shown",),
    ),
    Defence(
        "32",
        "what a notebook asks for is hidden by what a terminal obeys",
        "kernel/notebooks/claims.py",
        "return [(what, one_line(value)[:300]) for",
        "return [(what, value[:300]) for",
        (CLAIMS + "test_what_is_told_is_one_line_each_without_escapes",),
    ),
    Defence(
        "32",
        "an image's labels give it more than it has without",
        "kernel/resolving.py",
        "if name in _LABELLED or value in _ONLY.get(name, ()):",
        "if True:",
        ("kernel/test_kernel_verbs.py::test_a_label_gives_an_image_no_more_than_it_has_without",),
    ),
    Defence(
        "32",
        "an image's Python names paths and commands of the host",
        "kernel/inject/probe.py",
        "if not isinstance(value, str) or not pattern.fullmatch(value):",
        "if not isinstance(value, str):",
        (IMAGES + "test_an_answer_that_no_python_gives_is_refused",),
    ),
    Defence(
        "32",
        "an image's distributions have flags for names",
        "kernel/inject/probe.py",
        "if _NAME.fullmatch(name) and _VERSION.fullmatch(version)",
        "if name",
        (IMAGES + "test_names_and_versions_that_could_be_flags_or_files_are_no_constraints",),
    ),
    Defence(
        "32",
        "code in a kernel makes an image that is taken for a registry's",
        "kernel/acts.py",
        "return self._below + name",
        "return name",
        (CONTROL + "test_an_image_of_a_kernel_has_no_name_that_a_registry_s_would_have",),
    ),
    Defence(
        "32",
        "code in a kernel replaces an image",
        "kernel/acts.py",
        "if there and self._keeping.made.get(name) != there:",
        "if False:",
        (CONTROL + "test_no_image_that_is_there_is_replaced",),
    ),
    Defence(
        "32",
        "code in a kernel sends a line without end to the host",
        "kernel/control.py",
        "if len(data) > LONGEST_LINE:",
        "if False:",
        (CONTROL + "test_a_line_without_end_is_cut",),
    ),
    Defence(
        "32",
        "code in a kernel fills the file system that its sockets are on",
        "kernel/commands.py",
        "tmpfs = {INSIDE: TMPFS}",
        'tmpfs = {INSIDE: "mode=777"}',
        (SOCKETS + "test_what_a_kernel_writes_beside_its_sockets_is_bounded",),
    ),
    Defence(
        "32",
        "an image's links lead what looks for a kernel's sockets to the host",
        "kernel/folders.py",
        "_RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS,",
        "_RESOLVE_NO_MAGICLINKS,",
        (SOCKETS + "test_links_of_an_image_lead_nowhere_on_this_machine",),
    ),
    Defence(
        "32",
        "code in a kernel has who connects to its sockets led to one of the host's",
        "kernel/folders.py",
        "mode=777,nosymfollow",
        "mode=777",
        (SOCKETS + "test_a_link_in_a_socket_s_place_is_not_followed_on_this_machine",),
    ),
)
