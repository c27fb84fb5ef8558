"""What a hostile container or archive tries while files are copied.

Each comment names the line without which its test fails.
"""

import lzma
import os
from pathlib import Path
from typing import Any

import pytest

from support import calls
from support.calls import Make
from support.copies import archive, folder, get, hard_link, member, opened, put, symlink
from support.engines import Engine

pytestmark = pytest.mark.ordinary_user

ROUNDS = 60

# Both lead to $1 by turns: /d, a link, and /tree/x, a folder that is swapped for a link.
SWAPPING = """
mkdir /real /tree /tree/x; echo inside >/real/file; echo inside >/tree/x/file; ln -s "$1" /link
ln -s /real /d; echo ready >/ready
while :; do
  ln -sfn "$1" /d; mv /tree/x /away; mv -T /link /tree/x
  mv -T /tree/x /link; mv /away /tree/x; ln -sfn /real /d
done
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host with a file; nothing may be read from it nor happen to it."""
    victim = tmp_path / "outside"
    victim.mkdir()
    (victim / "file").write_text("secret")
    return victim


def untouched(outside: Path) -> bool:
    file = outside / "file"
    return (
        [path.name for path in outside.iterdir()] == ["file"]
        and file.read_text() == "secret"
        and file.stat().st_nlink == 1
    )


def test_a_container_that_swaps_links_gives_nothing_of_the_host(
    shared_engine: Engine, make: Make, outside: Path
) -> None:
    # launch.syscalls.openat2: RESOLVE_IN_ROOT. The instant between the look at a folder and its
    # opening (upper.OPEN_FOLDER: O_NOFOLLOW) is met on purpose in tests/layers/test_diff.py.
    container = make("sh", "-c", SWAPPING, "sh", str(outside))
    calls.start(shared_engine, container)
    while get(shared_engine, container, "/ready", "HEAD").status != 200:
        assert calls.state(shared_engine, container)["Running"]
    for number in range(ROUNDS):
        for path in ("/d/file", "/tree", "/d/"):
            found = get(shared_engine, container, path)
            assert b"secret" not in found.contents.values()
        put(shared_engine, container, "/d", archive(member(f"evil{number}")))
        put(shared_engine, container, "/tree", archive(folder("x"), member("x/evil")))
    assert untouched(outside)


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("climb", [False, True], ids=["absolute", "relative"])
def test_a_link_to_the_host_leads_into_the_container(
    shared_engine: Engine, make: Make, outside: Path, running: bool, climb: bool
) -> None:
    # launch.syscalls.openat2 and beneath.open_folder: RESOLVE_IN_ROOT
    container = make("sleep", "1000")
    if running:
        calls.start(shared_engine, container)
    target = "../" * 40 + str(outside)[1:] if climb else str(outside)
    assert put(shared_engine, container, "/", archive(symlink("l", target))).status == 200
    assert get(shared_engine, container, "/l/file").status == 404
    assert get(shared_engine, container, "/l/.").status == 404
    assert put(shared_engine, container, "/l", archive(member("evil"))).status == 404
    refused = put(shared_engine, container, "/", archive(member("l/evil")))
    assert (refused.status, "link to nowhere" in refused.message) == (400, True)
    put(shared_engine, container, "/", archive(folder(str(outside)[1:])))
    assert put(shared_engine, container, "/", archive(member("l/in", b"in"))).status == 200
    assert get(shared_engine, container, f"{outside}/in").contents == {"in": b"in"}
    assert untouched(outside)


@pytest.mark.parametrize(
    "entries",
    [
        [member("../evil")],
        [member("d/../../evil")],
        [symlink("l", "{}"), hard_link("evil", "l/file")],
        [hard_link("evil", "../../../../../../..{}/file")],
    ],
)
def test_an_archive_that_climbs_is_refused(
    shared_engine: Engine, make: Make, outside: Path, entries: list[Any]
) -> None:
    # untar._clean: `if b".." in parts`; untar._hard_link: `self._folders.existing`
    for info, _ in entries:
        info.linkname = info.linkname.format(outside)
    container = make("true")
    assert put(shared_engine, container, "/tmp", archive(*entries)).status == 400
    assert get(shared_engine, container, "/evil").status == 404
    assert get(shared_engine, container, "/tmp/evil").status == 404
    assert untouched(outside)


def test_a_file_over_a_link_replaces_the_link(
    shared_engine: Engine, make: Make, outside: Path
) -> None:
    # untar._CREATE: O_EXCL and O_NOFOLLOW
    container = make("true", HostConfig={"Binds": [f"{outside}:/bound"]})
    put(shared_engine, container, "/", archive(symlink("l", "/bound/file")))
    assert put(shared_engine, container, "/", archive(member("l", b"evil"))).status == 200
    assert get(shared_engine, container, "/l").contents == {"l": b"evil"}
    assert untouched(outside)


def test_overlays_marks_hide_nothing(shared_engine: Engine, make: Make) -> None:
    # untar._set_xattrs: OVERLAY_XATTRS, and the kernel's own refusal; untar._unpack: is_layer
    container = make("true")
    marks = {f"SCHILY.xattr.{kind}.overlay.opaque": "y" for kind in ("trusted", "user")}
    sent = archive(folder("bin", pax_headers=marks), member(".wh.bin"), member("bin/.wh.sh"))
    assert put(shared_engine, container, "/", sent).status == 200
    assert get(shared_engine, container, "/bin/busybox", "HEAD").status == 200
    assert get(shared_engine, container, "/.wh.bin", "HEAD").status == 200
    exported = opened(calls.call(shared_engine, "GET", f"/containers/{container}/export").body)[0]
    assert "bin/sh" in exported


def test_a_device_in_an_archive_cannot_be_opened(shared_engine: Engine, make: Make) -> None:
    # root.Overlay: MOUNT_ATTR_NODEV
    container = make("cat", "/device")
    device = member("device", type=b"3", devmajor=1, devminor=3, mode=0o666)  # as /dev/null
    put(shared_engine, container, "/", archive(device))
    calls.start(shared_engine, container)
    assert calls.ended(shared_engine, container) == 1


def test_accounts_that_are_no_file_do_not_block_a_copy(shared_engine: Engine, make: Make) -> None:
    # user._entries: O_NONBLOCK and S_ISREG
    container = make("true", User="someone")
    accounts = archive(member("etc/passwd", type=b"6"), member("etc/group", type=b"6"))
    put(shared_engine, container, "/", accounts)
    refused = put(shared_engine, container, "/", archive(member("f")), copyUIDGID="1")
    assert (refused.status, "someone" in refused.message) == (400, True)


def test_no_program_of_the_container_decompresses(shared_engine: Engine, make: Make) -> None:
    # compression.inflate does it in the engine
    container = make("true")
    evil = b"#!/bin/sh\ntouch /ran /proc/1/root/ran\n"
    names = ("unpigz", "gzip", "xz", "zstd", "bzip2")
    programs = [member(f"usr/bin/{name}", evil, mode=0o755) for name in names]
    put(shared_engine, container, "/", archive(*programs))
    packed = lzma.compress(archive(member("f", b"content")))
    assert put(shared_engine, container, "/", packed).status == 200
    assert get(shared_engine, container, "/f").contents == {"f": b"content"}
    assert get(shared_engine, container, "/ran").status == 404
    assert not os.path.exists("/ran")


def test_a_link_into_a_bind_of_the_hosts_root_does_not_lead_to_the_engine(
    shared_engine: Engine, make: Make
) -> None:
    # engine.archives._made_of: `hidden`
    container = make("true", HostConfig={"Binds": ["/tmp:/host"]})
    own = "/host" + str(shared_engine.paths.root).removeprefix("/tmp")
    put(shared_engine, container, "/", archive(symlink("l", own)))
    assert set(get(shared_engine, container, "/l/").members) <= {"l"}
    put(shared_engine, container, "/l", archive(member("evil")))
    assert not (shared_engine.paths.root / "evil").exists()


def test_folders_deeper_than_any_stack_are_copied_and_replaced(
    shared_engine: Engine, make: Make
) -> None:
    # copying._LiveFiles.remove_folder and upper.walk have no recursion
    container = make("true")
    deep = "d" + "/d" * 1200
    put(shared_engine, container, "/", archive(member(f"{deep}/f")))
    assert f"{deep}/f" in get(shared_engine, container, "/d").members
    assert put(shared_engine, container, "/", archive(member("d", b"flat"))).status == 200
    assert get(shared_engine, container, "/d").contents == {"d": b"flat"}
