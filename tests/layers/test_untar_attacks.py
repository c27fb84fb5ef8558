"""What a hostile layer tries; each comment names the line without which its test fails."""

import bz2
import errno
import gzip
import lzma
import os
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import Unpacker, archive, folder, link, member, names, symlink
from backports import zstd

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.layers import compression
from ipycontainer_runtime.layers.compression import STEP, inflate
from ipycontainer_runtime.layers.ownership import Mapped
from ipycontainer_runtime.layers.tarread import Limits


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the store, with a file; nothing may happen to either."""
    victim = tmp_path / "outside"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    return victim


def untouched(outside: Path) -> bool:
    return (
        [p.name for p in outside.iterdir()] == ["file"]
        and (outside / "file").read_text() == "untouched"
        and (outside / "file").stat().st_nlink == 1
    )


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/../x", "./../x", "a/..", "..", "../../../../outside/x", "x\0y"]
)
def test_a_path_that_climbs_is_refused(unpack: Unpacker, outside: Path, name: str) -> None:
    # untar.clean: `if b".." in parts`
    data = archive(member("a/b"), member("plain", pax_headers={"path": name}))
    with pytest.raises(Corrupt, match=r"leads out of its root|malformed"):
        unpack(data)
    assert untouched(outside)


def test_an_absolute_path_stays_under_the_root(unpack: Unpacker, outside: Path) -> None:
    # untar.clean: `name.strip(b"/")`, and beneath.open_folder: RESOLVE_IN_ROOT; one of them does
    root = unpack(archive(member(f"/{outside}/file", b"evil")))
    assert untouched(outside)
    assert (root / str(outside)[1:] / "file").read_text() == "evil"


@pytest.mark.parametrize("depth", [0, 30])
def test_writing_through_a_symlink_stays_under_the_root(
    unpack: Unpacker, outside: Path, depth: int
) -> None:
    # beneath.open_folder: RESOLVE_IN_ROOT
    target = "../" * depth + str(outside)[1:] if depth else str(outside)
    inside = str(outside)[1:]
    root = unpack(archive(folder(inside), symlink("l", target), member("l/file", b"evil")))
    assert untouched(outside)
    assert (root / inside / "file").read_bytes() == b"evil"


def test_writing_through_a_symlink_to_nowhere_is_refused(unpack: Unpacker, outside: Path) -> None:
    # beneath.open_folder: RESOLVE_IN_ROOT
    with pytest.raises(Corrupt, match="a link to nowhere"):
        unpack(archive(symlink("l", str(outside)), member("l/file", b"evil")))
    assert untouched(outside)


def test_a_folder_that_becomes_a_symlink_is_left_behind(unpack: Unpacker, outside: Path) -> None:
    # untar._clear: `self._folders.forget()`, with beneath.open_folder: RESOLVE_IN_ROOT
    inside = str(outside)[1:]
    root = unpack(
        archive(
            folder(inside),
            member("d/one"),
            symlink("d", str(outside)),
            member("d/file", b"evil"),
            folder("d/new", mtime=5),
        )
    )
    assert untouched(outside)
    assert (root / inside / "file").read_bytes() == b"evil"


def test_a_file_over_a_symlink_replaces_the_link(unpack: Unpacker, outside: Path) -> None:
    # untar._CREATE: O_EXCL and O_NOFOLLOW
    root = unpack(archive(symlink("l", f"{outside}/file"), member("l", b"evil", mode=0o777)))
    assert untouched(outside)
    assert not (root / "l").is_symlink()


def test_a_folder_over_a_symlink_changes_nothing_behind_it(unpack: Unpacker, outside: Path) -> None:
    # untar._folder_over: follow_symlinks=False
    mode = outside.stat().st_mode
    unpack(archive(symlink("l", str(outside)), folder("l", mode=0o4777, uid=5, mtime=7)))
    assert untouched(outside)
    assert outside.stat().st_mode == mode


@pytest.mark.parametrize("target", ["{}/file", "../../../../../../../..{}/file", "l/file"])
def test_a_hard_link_to_outside_is_refused(unpack: Unpacker, outside: Path, target: str) -> None:
    # untar._hard_link: `clean`, and `self._folders.existing`, which is beneath the root
    data = archive(symlink("l", str(outside)), link("hard", target.format(outside)))
    with pytest.raises(Corrupt, match=r"not in it|leads out"):
        unpack(data)
    assert untouched(outside)


def test_a_hard_link_to_a_symlink_is_a_symlink(unpack: Unpacker, outside: Path) -> None:
    # untar._hard_link: follow_symlinks=False
    root = unpack(archive(symlink("l", f"{outside}/file"), link("hard", "l")))
    assert untouched(outside)
    assert (root / "hard").is_symlink()


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh..."])
def test_a_whiteout_of_no_name_is_refused(unpack: Unpacker, name: str) -> None:
    # untar._whiteout: `if hidden in (b"", b".", b"..")`
    with pytest.raises(Corrupt, match="hides no name"):
        unpack(archive(folder("d"), member(name)))


def test_whiteouts_through_symlinks_touch_only_this_image(unpack: Unpacker, outside: Path) -> None:
    # beneath.open_folder: RESOLVE_IN_ROOT
    inside = str(outside)[1:]
    unpack(
        archive(
            folder(inside),
            symlink("l", str(outside)),
            member("l/.wh.file"),
            member("l/.wh..wh..opq"),
        )
    )
    assert untouched(outside)
    assert os.listxattr(outside) == []


@pytest.mark.parametrize("prefix", ["trusted.", "user."])
def test_overlays_own_xattrs_are_dropped(unpack: Unpacker, prefix: str) -> None:
    # untar._set_xattrs: OVERLAY_XATTRS
    xattrs = {
        f"SCHILY.xattr.{prefix}overlay.redirect": "/etc",
        f"SCHILY.xattr.{prefix}overlay.opaque": "y",
        "SCHILY.xattr.user.kept": "v",
    }
    root = unpack(archive(folder("d", pax_headers=xattrs), member("f", pax_headers=xattrs)))
    assert os.listxattr(root / "d") == ["user.kept"]
    assert os.listxattr(root / "f") == ["user.kept"]


def test_no_device_is_made_when_rootless(unpack: Unpacker) -> None:
    # untar._node: `if … not self._ownership.devices`
    data = archive(member("dev/sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0), member("f"))
    assert not (unpack(data, rootless=True) / "dev/sda").exists()
    if Mapped().devices:
        assert stat.S_ISBLK((unpack(data) / "dev/sda").lstat().st_mode)


def test_gzip_that_grows_a_thousandfold_is_stopped(unpack: Unpacker) -> None:
    # bounds.inflated: `if size > allowed`
    data = archive(member("zeros", bytes(64 << 20)))
    with pytest.raises(Corrupt, match="inflates to more than the"):
        unpack(gzip.compress(data), limits=Limits(free=1 << 20))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_no_step_of_decompressing_gives_more_than_its_bound(pack: Callable[[bytes], bytes]) -> None:
    # compression._gunzip and _decompressed: STEP
    sizes = [len(piece) for piece in inflate([pack(bytes(STEP * 10))])]
    assert sum(sizes) == STEP * 10
    assert max(sizes) <= STEP


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_many_frames_of_nothing_are_bounded_and_each_costs_the_same(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # compression._FIRST: what is left of a piece behind a frame's end is copied; _one_more
    copied: list[int] = []
    monkeypatch.setattr(compression._Input, "give_back", counting(copied))
    many = pack(b"") * 4_000
    assert not list(inflate([many]))
    assert sum(copied) <= 4_000 * 4096 * 2  # gzip looks for its padding in a piece of its own
    monkeypatch.setattr(compression, "_MOST_FRAMES", 3_999)
    with pytest.raises(Corrupt, match="in more than the 3999 pieces allowed"):
        list(inflate([many]))


def counting(copied: list[int]) -> Callable[[compression._Input, int], None]:
    """Return what gives bytes back and notes how many."""
    give_back = compression._Input.give_back

    def noting(self: compression._Input, count: int) -> None:
        copied.append(count)
        give_back(self, count)

    return noting


@pytest.mark.parametrize("start", [100, 108, 116], ids=["mode", "user", "group"])
@pytest.mark.parametrize("number", [-5, -1, (1 << 32) - 1], ids=str)
def test_an_id_that_no_file_has_is_refused(unpack: Unpacker, start: int, number: int) -> None:
    # tarread._identity
    header = bytearray(archive(member("f", mode=0o4755)))
    header[start : start + 8] = (
        (number % (1 << 64)).to_bytes(8, "big")
        if number < 0
        else (b"\x80" + number.to_bytes(7, "big"))
    )
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    with pytest.raises(Corrupt, match=f"has the id {number}, which is outside"):
        unpack(bytes(header))


@pytest.mark.parametrize("time", ["-99999999999999999999", "99999999999999999999.9"])
def test_a_time_that_no_file_has_becomes_the_nearest(unpack: Unpacker, time: str) -> None:
    # tarread._storable
    root = unpack(archive(member("f", pax_headers={"mtime": time})))
    assert (root / "f").exists()


def test_a_zstd_window_of_two_gigabytes_is_refused(unpack: Unpacker) -> None:
    # compression._zstd_frame: window_log_max
    options = {zstd.CompressionParameter.window_log: 31}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(archive(member("f", os.urandom(1000)))) + compressor.flush()
    with pytest.raises(Corrupt, match="zstd stream is malformed"):
        unpack(data)


@pytest.mark.parametrize(
    "members", [[member(f"f{n}") for n in range(50)], [member("d/" * 50 + "f")]]
)
def test_too_many_entries_are_refused(
    unpack: Unpacker, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    # tarread.TarReader.count, which untar._made calls too
    with pytest.raises(Corrupt, match="more than 40 entries"):
        unpack(archive(*members), limits=Limits(entries=40))


def test_a_huge_pax_header_is_refused_before_it_is_read(unpack: Unpacker) -> None:
    # tarread._extension: `if size > self._limits.header`
    header = member("x", type=tarfile.XHDTYPE)[0]
    header.size = 1 << 30
    with pytest.raises(Corrupt, match="extended header of 1073741824 bytes, more than the 1048576"):
        unpack(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_a_sparse_file_of_eight_exabytes_is_refused(unpack: Unpacker) -> None:
    # tarread._entry: `if entry.size > self._limits.file`
    sparse = {
        "GNU.sparse.size": str(1 << 63),
        "GNU.sparse.numblocks": "0",
        "GNU.sparse.map": "",
    }
    with pytest.raises(Corrupt, match="9223372036854775808 bytes, more than the"):
        unpack(archive(member("f", pax_headers=sparse)))


@pytest.mark.parametrize("sparse_map", ["0,5,3,5", "0,99999", "5", "0,600", "-1,5"])
def test_an_impossible_sparse_map_is_refused(unpack: Unpacker, sparse_map: str) -> None:
    # tarread._check_holes
    sparse = {"GNU.sparse.size": "600", "GNU.sparse.map": sparse_map}
    if sparse_map == "5":
        assert (unpack(archive(member("f", b"12345", pax_headers=sparse))) / "f").exists()
        return
    with pytest.raises(Corrupt, match=r"impossible map|number is wanted"):
        unpack(archive(member("f", b"12345", pax_headers=sparse)))


def test_a_path_longer_than_the_kernels_is_refused(unpack: Unpacker) -> None:
    # beneath.Folders._find: _PATH_MAX
    with pytest.raises(Corrupt, match="more than 4095"):
        unpack(archive(member("x", pax_headers={"path": "a/" * 5000 + "f"})))


def test_folders_nested_deeper_than_pythons_stack_unpack_and_go(unpack: Unpacker) -> None:
    # beneath.Folders._find has no recursion
    deep = "a/" * 2000
    unpack(archive(member("x", pax_headers={"path": deep + "f"})))
    unpack.store.remove(unpack.store.all()[0])
    unpack.store.trash.empty()
    assert list(unpack.store.trash.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not a tar" * 100, "no tar archive"),
        (b"\1" + archive(member("f"))[1:], "no tar archive: a header's checksum"),
        (archive(member("f", b"x" * 5000))[:3000], "ends in the middle"),
        (gzip.compress(archive(member("f", b"x" * 50_000)))[:-20], "ends in the middle"),
        (b"\x1f\x8b" + b"x" * 100, "gzip stream is malformed"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 100, "zstd stream is malformed"),
        (archive(member("f", type=b"Z")), "type b'Z'"),
        (archive(symlink("l", "")), "without a target"),
        (archive(member("f"), member("f/g")), "Not a directory"),
    ],
)  # fmt: skip - a case a line
def test_a_broken_archive_is_told_and_leaves_nothing(
    unpack: Unpacker, data: bytes, message: str
) -> None:
    threads = threading.active_count()
    with pytest.raises(Corrupt, match=message):
        unpack(data)
    assert unpack.store.all() == []
    assert not list(unpack.store.folder.glob(".staging*"))
    assert threading.active_count() == threads


def test_a_full_disk_is_told(unpack: Unpacker, monkeypatch: pytest.MonkeyPatch) -> None:
    from ipycontainer_runtime.errors import Unavailable
    from ipycontainer_runtime.layers import untar

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(untar, "_write", full)
    with pytest.raises(Unavailable, match=r"cannot unpack b'f'.*No space left"):
        unpack(archive(member("f", b"x")))


def test_the_archives_of_these_tests_are_archives() -> None:
    assert names(archive(member("a"), folder("b"))) == ["a", "b"]
