"""What an archive says is what is on the disk."""

import os
import random
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from archives import Unpacker, archive, folder, gnu_tar, link, member, symlink, tree

from ipycontainer_runtime.layers.ownership import Mapped


def make_rich(root: Path) -> Path:
    """A tree with all that a layer can hold."""
    shuffled = random.Random(7)
    root.mkdir()
    (root / "empty").mkdir(mode=0o700)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o3777)
    for n in range(40):
        parent = root / f"d{n % 5}" / ("n" * (n * 5 + 1))
        parent.mkdir(parents=True, exist_ok=True)
        path = parent / f"file-{n}-é"
        path.write_bytes(shuffled.randbytes(n * 777))
        path.chmod(shuffled.choice([0o644, 0o400, 0o755, 0o4755, 0o2755]))
        os.utime(path, ns=(1, shuffled.randrange(2**61)))
    os.link(root / "d0/n/file-0-é", root / "d1/hard")
    (root / "link").symlink_to("d0/" + "x" * 150)
    (root / "dangling").symlink_to("/nowhere/é")
    os.mkfifo(root / "fifo", 0o640)
    with (root / "sparse").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate(9 << 20)
    if Mapped().devices:  # real root, who alone may do these
        os.setxattr(root / "link", b"trusted.x", b"on a link", follow_symlinks=False)
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.setxattr(root / "d1/hard", b"user.a", b"line\nline\0binary\xff")
    os.setxattr(root / "empty", b"user.dir", b"1")
    os.chown(root / "empty", 12345, 54321)
    large = 3_000_000 if Mapped().devices else 60_000
    os.chown(root / "dangling", large, large + 1, follow_symlinks=False)
    os.chown(root / "sparse", 0, 5)
    subprocess.run(["setcap", "cap_net_raw+ep", root / "d4" / ("n" * 21) / "file-4-é"], check=False)
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            os.utime(path, ns=(1, path.lstat().st_mtime_ns // 100 * 100))
    os.utime(root, ns=(1, 1_600_000_000_123_456_700))
    return root


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    "options",
    [
        ("--format=pax", "--sparse", "--sparse-version=1.0"),
        ("--format=pax", "--sparse", "--sparse-version=0.1"),
        ("--format=pax", "--sparse", "--sparse-version=0.0"),
        ("--format=pax",),
    ],
)
def test_what_gnu_tar_packs_is_unpacked_the_same(
    tmp_path: Path, unpack: Unpacker, options: tuple[str, ...]
) -> None:
    rich = make_rich(tmp_path / "rich")
    root = unpack(gnu_tar(rich, *options))
    assert tree(root) == tree(rich)
    if "--sparse" in options:
        assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


@pytest.mark.needs("root")
def test_the_old_gnu_format_is_unpacked_but_for_what_it_lacks(
    tmp_path: Path, unpack: Unpacker
) -> None:
    rich = make_rich(tmp_path / "rich")
    data = subprocess.run(
        ["tar", "--format=gnu", "--sparse", "-C", rich, "-cf", "-", "."],
        capture_output=True,
        check=True,
    ).stdout

    def coarse(folder: Path) -> dict[str, tuple[object, ...]]:
        # Whole seconds, and no xattrs.
        return {
            name: (*values[:4], int(str(values[4])) // 10**9, *values[5:7])
            for name, values in tree(folder).items()
        }

    root = unpack(data)
    assert coarse(root) == coarse(rich)
    assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_links_of_every_format(unpack: Unpacker, format: int) -> None:  # noqa: A002 - GNU tar calls it so
    name = "a" * 90 + "/" + "b" * 90
    root = unpack(archive(member(name, b"x"), symlink("s", "t" * 100), format=format))
    assert (root / name).read_bytes() == b"x"
    assert os.readlink(root / "s") == "t" * 100


def test_contents_of_every_length_around_a_block(unpack: Unpacker) -> None:
    sizes = [0, 1, 511, 512, 513, 1023, 1024, 4999, 5000, 5001, 70_000]
    root = unpack(archive(*(member(f"f{n}", os.urandom(1) * n) for n in sizes)))
    assert [(root / f"f{n}").stat().st_size for n in sizes] == sizes


@pytest.mark.parametrize(("rootless", "prefix"), [(False, "trusted."), (True, "user.")])
@pytest.mark.needs("root")
def test_whiteouts_become_overlays_own(unpack: Unpacker, rootless: bool, prefix: str) -> None:
    if not rootless and not Mapped().devices:
        return  # trusted.* is for real root alone
    root = unpack(
        archive(
            member(".wh.gone"),
            folder("d"),
            member("d/.wh..wh..opq"),
            member("d/kept"),
            member("d/.wh..wh.plnk"),
            member(".wh.both"),
            member("both", b"new"),
            member("first", b"new"),
            member(".wh.first"),
            member(".wh.again"),
            folder("again"),
            folder("late"),
            member(".wh.late"),
        ),
        rootless=rootless,
    )
    assert stat.S_ISCHR((root / "gone").lstat().st_mode)
    assert (root / "gone").lstat().st_rdev == 0
    assert sorted(p.name for p in (root / "d").iterdir()) == ["kept"]
    # A whiteout hides what is below, whatever its place among the entries of its layer.
    assert (root / "both").read_bytes() == (root / "first").read_bytes() == b"new"
    for name in ("d", "again", "late"):
        assert os.getxattr(root / name, f"{prefix}overlay.opaque") == b"y"


def test_a_later_entry_replaces_an_earlier_one(unpack: Unpacker) -> None:
    root = unpack(
        archive(
            member("a", b"1"),
            member("a", b"2"),
            member("d/x"),
            member("d", b"file"),
            member("e", b"file"),
            folder("e", mode=0o711),
            member("e/inner"),
            folder("e", mode=0o700),
            symlink("s", "1"),
            symlink("s", "2"),
            member("h", b"old"),
            link("h", "a"),
            link("h", "h"),
        )
    )
    assert (root / "a").read_bytes() == b"2"
    assert (root / "d").read_bytes() == b"file"
    assert (root / "e/inner").exists()
    assert stat.S_IMODE((root / "e").stat().st_mode) == 0o700
    assert os.readlink(root / "s") == "2"
    assert (root / "h").read_bytes() == b"2"
    assert (root / "h").stat().st_nlink == 2


def test_folders_that_were_not_named_are_as_below(unpack: Unpacker) -> None:
    lower = unpack(
        archive(
            folder("./", mode=0o711),
            folder("tmp", mode=0o1777, mtime=5),
            folder("tmp/in", mode=0o700, mtime=6),
            folder("gone", mode=0o700),
        )
    )
    middle = unpack(archive(member(".wh.gone")), lowers=(lower,))
    root = unpack(archive(member("tmp/in/f"), member("gone/f")), lowers=(middle, lower))
    modes = [stat.S_IMODE((root / name).stat().st_mode) for name in ("", "tmp", "tmp/in", "gone")]
    assert modes == [0o711, 0o1777, 0o700, 0o755]
    assert (root / "tmp").stat().st_mtime == 5


def test_the_umask_of_the_process_stays_as_it_was(unpack: Unpacker) -> None:
    before = os.umask(0o077)
    try:
        root = unpack(archive(member("f", mode=0o666), folder("d", mode=0o777), member("i/f")))
        assert stat.S_IMODE((root / "f").stat().st_mode) == 0o666
        assert stat.S_IMODE((root / "d").stat().st_mode) == 0o777
        assert stat.S_IMODE((root / "i").stat().st_mode) == 0o755
        assert stat.S_IMODE(root.stat().st_mode) == 0o755
    finally:
        assert os.umask(before) == 0o077


def test_no_descriptor_is_left_open(unpack: Unpacker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    unpack(archive(*(member(f"d{n}/f") for n in range(300))))
    assert len(os.listdir("/proc/self/fd")) == before
