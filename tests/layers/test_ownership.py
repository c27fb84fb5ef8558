"""What every ownership does: an image's ids come back from the disk."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from archives import archive, folder, link, member, pieces, symlink

from ipycontainer_runtime.layers.apply import apply, finish
from ipycontainer_runtime.layers.copying import write_archive
from ipycontainer_runtime.layers.ownership import RECORD, Mapped, Ownership, Single
from ipycontainer_runtime.layers.view import Found
from ipycontainer_runtime.store.layers import LayerStore

KINDS = {
    "mapped": lambda: Mapped(rootless=False),
    "mapped, rootless": lambda: Mapped(rootless=True),
    "single": Single,
    "single, not root": lambda: Single(rooted=False),
}
IDS = {"home/u": (1000, 100), "home/u/file": (1000, 100), "home/u/other": (33, 8)}
LAYER = archive(
    folder("home"),
    folder("home/u", uid=1000, gid=100, mode=0o750),
    member("home/u/file", b"f", uid=1000, gid=100, mode=0o4711),
    member("home/u/other", b"o", uid=33, gid=8, mode=0o020),
    link("home/u/again", "home/u/other"),
    symlink("home/u/link", "file"),
    member("home/root", b"r"),
    folder("home/closed", mode=0o055),
    member("home/closed/in", b"c"),
)


@pytest.fixture(params=KINDS, ids=list(KINDS))
def ownership(request: pytest.FixtureRequest) -> Ownership:
    if os.getuid() != 0 and request.param != "single, not root":
        pytest.skip("it is for an engine that is root at least of a namespace")
    made: Ownership = KINDS[request.param]()
    return made


def unpacked(
    tmp_path: Path, ownership: Ownership, data: bytes = LAYER, lowers: tuple[Path, ...] = ()
) -> Path:
    store = LayerStore(tmp_path / f"store{len(lowers)}")
    with store.staging() as staging:
        applied = apply(pieces(data), staging, ownership=ownership)
        return finish(staging, applied, f"sha256:{1:064x}", lowers)


def packed(root: Path, ownership: Ownership) -> dict[str, tarfile.TarInfo]:
    out = io.BytesIO()
    parent = os.open(root.parent, os.O_RDONLY)
    with Found(parent, root.name, root.stat()) as found:
        write_archive(found, "top", ownership, out.write)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        return {entry.name.removeprefix("top/"): entry for entry in tar}


@pytest.mark.needs("root")
def test_an_archives_ids_come_back(tmp_path: Path, ownership: Ownership) -> None:
    found = packed(unpacked(tmp_path, ownership), ownership)
    assert {name: (found[name].uid, found[name].gid) for name in IDS} == IDS
    assert (found["home/u/link"].uid, found["home/root"].uid) == (
        (0, 0) if ownership.name == "mapped" else (1000, 0)
    )
    assert found["home/u/other"].islnk() or found["home/u/again"].islnk()


@pytest.mark.ordinary_user
def test_modes_come_back_and_the_record_is_no_xattr_of_the_archive(
    tmp_path: Path, ownership: Ownership
) -> None:
    root = unpacked(tmp_path, ownership)
    modes = {"home/u": 0o750, "home/u/file": 0o4711, "home/closed": 0o055}
    for name, mode in modes.items():
        assert stat.S_IMODE((root / name).stat().st_mode) == mode
    with (root / "home/u/file").open() as file:
        status = os.fstat(file.fileno())
        assert ownership.from_disk(status.st_uid, status.st_gid, file.fileno()) == (1000, 100)
    if os.getuid() == 0:
        found = packed(root, ownership)
        assert stat.S_IMODE(found["home/u/other"].mode) == 0o020
        assert not any("user.ipycontainer" in str(entry.pax_headers) for entry in found.values())


@pytest.mark.needs("root")
def test_a_folder_that_a_layer_does_not_name_keeps_its_ids(
    tmp_path: Path, ownership: Ownership
) -> None:
    lower = unpacked(tmp_path, ownership)
    upper = unpacked(tmp_path, ownership, archive(member("home/u/new", b"n")), (lower,))
    found = packed(upper, ownership)
    assert (found["home/u"].uid, found["home/u"].gid) == (1000, 100)
    assert (found["home/u/new"].uid, found["home/u/new"].gid) == (0, 0)


def test_a_record_that_makes_no_sense_is_root(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with file.open() as opened:
        for value in (b"", b"1", b"1:2:3", b"-1:0", b"x:y", b"99999999999:0"):
            os.setxattr(file, RECORD, value)
            assert Single().from_disk(0, 0, opened.fileno()) == (0, 0)
