"""What every snapshotter does: a root of the layers, and what a container changes is its layer.

The overlay is mounted and written to as a container does, the copy is written to where it is.
"""

import gzip
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from archives import Unpacker, archive, folder, link, member, symlink, tree
from test_untar import make_rich

from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.layers.diff import Packed, changes, write_layer
from ipycontainer_runtime.layers.ownership import Mapped
from ipycontainer_runtime.layers.snapshot import (
    CopySnapshotter,
    OverlaySnapshotter,
    Snapshotter,
)
from ipycontainer_runtime.oci.runtime import OverlayOptions
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.layers import LayerInfo, LayerStore

pytestmark = pytest.mark.needs("root")

BASE = archive(
    folder("./", mode=0o755),
    folder("etc"),
    member("etc/passwd", b"root"),
    member("etc/old", b"old"),
    folder("usr"),
    folder("usr/lib"),
    member("usr/lib/a", b"a", mtime=1000),
    member("usr/lib/b", b"b"),
    symlink("lib", "usr/lib"),
    folder("data"),
    member("data/1", b"1"),
    member("data/2", b"2"),
    folder("tmp", mode=0o1777),
)
TOP = archive(member("etc/second", b"2"), member("etc/.wh.old"), member("etc/back", b"b"))


Kind = type[OverlaySnapshotter] | type[CopySnapshotter]


class Box:
    """A container's root, without the container."""

    def __init__(
        self, kind: Kind, store: LayerStore, blobs: BlobStore, folder: Path, chain: Sequence[str]
    ) -> None:
        self.store, self.blobs, self.folder, self.chain = store, blobs, folder, chain
        self.ownership = Mapped()
        self.kind = kind
        self.snapshots: Snapshotter = kind(store, self.ownership)
        folder.mkdir()
        (mount,) = self.snapshots.prepare(folder, chain)
        assert self.snapshots.mounts(folder, chain) == [mount]
        self.root = self.written = Path(mount.source)
        if mount.type == "overlay":
            self._mount(mount.options)

    def _mount(self, options: object) -> None:
        assert isinstance(options, OverlayOptions)
        self.root, self.written = self.folder / "rootfs", self.folder / "upper"
        text = f"lowerdir={':'.join(options.lowerdir)}"
        text += f",upperdir={options.upperdir},workdir={options.workdir}"
        text += ",userxattr" if options.userxattr else ""
        subprocess.run(["mount", "-t", "overlay", "-o", text, "overlay", self.root], check=True)

    def close(self) -> None:
        if self.root != self.written:
            subprocess.run(["umount", self.root], check=True)

    def again(self, folder: Path, *more: str) -> "Box":
        """Another box of the same kind, whose layers are these and `more`."""
        return Box(self.kind, self.store, self.blobs, folder, [*self.chain, *more])

    def changes(self) -> list[str]:
        lowers = self.snapshots.lowers(self.chain)
        nodes = self.snapshots.walk(self.folder, self.chain)
        found = changes(nodes, lowers, self.ownership)
        return ["CAD"[change.kind] + " " + change.path for change in found]

    def commit(self) -> tuple[Packed, Path]:
        """Pack the upper folder; returns also the folder of the new, unpacked layer."""
        with self.store.staging() as staging, self.blobs.writer() as blob:
            nodes = self.snapshots.walk(self.folder, self.chain)
            packed = write_layer(nodes, blob=blob, staging=staging, ownership=self.ownership)
            root = staging.commit(packed.diff_id, LayerInfo(packed.diff_id, packed.size))
        return packed, root


@pytest.fixture(params=[OverlaySnapshotter, CopySnapshotter], ids=["overlay", "copy"])
def box(tmp_path: Path, unpack: Unpacker, request: pytest.FixtureRequest) -> Iterator[Box]:
    lower = unpack(BASE)
    unpack(TOP, lowers=(lower,))
    chain = [f"sha256:{n:064x}" for n in (1, 2)]
    made = Box(request.param, unpack.store, BlobStore(tmp_path / "store"), tmp_path / "box", chain)
    yield made
    made.close()


def names(box: Box, packed: Packed) -> list[str]:
    with tarfile.open(fileobj=BytesIO(gzip.decompress(box.blobs.read(packed.blob.digest)))) as tar:
        return tar.getnames()


def test_changes_are_those_docker_lists(box: Box) -> None:
    root = box.root
    assert box.changes() == []
    (root / "etc/passwd").write_text("changed")
    (root / "etc/second").unlink()
    (root / "new").mkdir()
    (root / "new/file").touch()
    (root / "usr/lib/a").chmod(0o600)
    with (root / "usr/lib/b").open("r+b"):
        pass  # copied up, but not changed
    shutil.rmtree(root / "data")
    (root / "data").mkdir()
    (root / "data/2").write_text("22")
    (root / "tmp/x").touch()
    (root / "tmp/x").unlink()
    assert box.changes() == [
        "C /data",
        "D /data/1",
        "C /data/2",
        "C /etc",
        "C /etc/passwd",
        "D /etc/second",
        "A /new",
        "A /new/file",
        "C /usr",
        "C /usr/lib",
        "C /usr/lib/a",
    ]


def test_a_commit_holds_what_changed_and_nothing_else(box: Box) -> None:
    (box.root / "etc/second").unlink()
    (box.root / "new").write_text("new")
    shutil.rmtree(box.root / "data")
    (box.root / "data").mkdir()
    packed, _ = box.commit()
    hidden = [".wh..wh..opq"] if box.snapshots.name == "overlay2" else [".wh.1", ".wh.2"]
    data = ["data", *(f"data/{name}" for name in hidden)]
    assert names(box, packed) == [".", *data, "etc", "etc/.wh.second", "new"]
    assert packed.media_type.endswith("tar+gzip")
    assert packed.size == 3


def test_a_committed_image_looks_like_its_container(box: Box, tmp_path: Path) -> None:
    rich = make_rich(tmp_path / "rich")
    subprocess.run(["cp", "-a", "--sparse=always", f"{rich}/.", f"{box.root}/rich"], check=True)
    os.link(box.root / "rich/d0/n/file-0-é", box.root / "second-name")
    (box.root / "etc/passwd").unlink()
    shutil.rmtree(box.root / "usr/lib")
    (box.root / "usr/lib").write_text("a file now")
    shutil.rmtree(box.root / "data")
    (box.root / "data").mkdir(mode=0o700)
    (box.root).chmod(0o711)
    before = tree(box.root)
    packed, _ = box.commit()
    again = box.again(tmp_path / "again", packed.diff_id)
    try:
        after = tree(again.root)
        # The mount points' layer lies over both: its time of /etc is seen until /etc is written.
        del after["etc"], before["etc"]
        assert after == before
        sparse = again.root / "rich/sparse"
        assert sparse.stat().st_blocks * 512 < 1 << 20
    finally:
        again.close()


def test_gnu_tar_and_a_pull_unpack_a_commit_the_same(
    box: Box, tmp_path: Path, unpack: Unpacker
) -> None:
    make_rich(box.written / "rich")
    packed, root = box.commit()
    blob = box.blobs.read(packed.blob.digest, 1 << 30)
    assert tree(unpack(blob)) == tree(root)
    other = tmp_path / "gnu"
    other.mkdir()
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", other, "-xpzf", "-"],
        input=blob,
        check=True,
    )
    assert tree(other) == tree(root)


def test_the_same_changes_give_the_same_layer(box: Box) -> None:
    make_rich(box.written / "rich")
    first, _ = box.commit()
    second, _ = box.commit()
    assert first == second


def test_a_folder_swapped_for_a_symlink_gives_nothing_of_the_host(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # upper.OPEN_FOLDER and pack._OPEN_FILE: O_NOFOLLOW, by name in the parent's descriptor
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    upper = box.written
    (upper / "a").mkdir()
    (upper / "b").write_text("mine")
    real_stat = os.stat

    def swap(path: object, **options: object) -> os.stat_result:
        status = real_stat(path, **options)  # type: ignore[arg-type] - passed on as it came
        if path == b"a" and not (upper / "a").is_symlink():
            (upper / "a").rmdir()
            (upper / "a").symlink_to(secret)
        if path == b"b" and not (upper / "b").is_symlink():
            (upper / "b").unlink()
            (upper / "b").symlink_to(secret / "key")
        return status

    monkeypatch.setattr(os, "stat", swap)
    packed, _ = box.commit()
    monkeypatch.undo()
    assert b"secret" not in gzip.decompress(box.blobs.read(packed.blob.digest))
    assert names(box, packed) == ["."]


def test_overlays_marks_are_not_packed(box: Box) -> None:
    upper = box.written
    (upper / "d").mkdir()
    os.setxattr(upper / "d", box.ownership.overlay_prefix + b"overlay.origin", b"x")
    os.setxattr(upper / "d", b"user.kept", b"y")
    packed, root = box.commit()
    assert os.listxattr(root / "d") == ["user.kept"]
    assert b"overlay" not in gzip.decompress(box.blobs.read(packed.blob.digest))


def test_a_container_nested_beyond_any_path_is_told(box: Box) -> None:
    folder = os.open(box.written, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 200, dir_fd=folder)
        inner = os.open("n" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(Exception, match="nested beyond 4095 bytes"):
        box.commit()
    box.store.trash.discard(box.written / ("n" * 200))
    box.store.trash.empty()


def test_an_image_of_two_layers_shows_both(box: Box) -> None:
    assert sorted(p.name for p in (box.root / "etc").iterdir()) == [
        "back",
        "hostname",
        "hosts",
        "mtab",
        "passwd",
        "resolv.conf",
        "second",
    ]  # fmt: skip - a list of names
    assert (box.root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_usage_counts_what_was_changed_and_a_file_of_two_names_once(box: Box) -> None:
    assert box.snapshots.usage(box.folder, box.chain) == 0
    (box.root / "new").write_bytes(bytes(1000))
    os.link(box.root / "new", box.root / "second-name")
    (box.root / "data/1").write_bytes(bytes(10))
    (box.root / "data/2").unlink()
    assert box.snapshots.usage(box.folder, box.chain) == 1010


def test_a_change_that_keeps_size_and_time_is_in_the_layer(box: Box) -> None:
    before = (box.root / "data/1").stat()
    (box.root / "data/1").write_text("9")
    os.utime(box.root / "data/1", ns=(before.st_atime_ns, before.st_mtime_ns))
    (box.root / "new").touch()
    _packed, root = box.commit()
    assert (root / "data/1").read_text() == "9"


def test_a_container_writes_to_no_layer(box: Box) -> None:
    (box.root / "etc/passwd").write_text("changed")
    (box.root / "etc/back").chmod(0o600)
    below = [path / "etc" for path in box.snapshots.lowers(box.chain)]
    assert (below[1] / "passwd").read_text() == "root"
    assert (below[0] / "back").stat().st_mode & 0o777 == 0o644


def test_a_container_whose_making_was_cut_short_is_known(box: Box) -> None:
    assert not box.snapshots.is_half(box.folder)
    cut_short = box.folder.with_name("cut-short")
    cut_short.mkdir()
    assert box.snapshots.is_half(cut_short)
    with pytest.raises(NotFound):
        box.snapshots.prepare(cut_short, [one(99)])
    assert box.snapshots.is_half(cut_short)


def test_names_of_one_file_stay_so(tmp_path: Path, unpack: Unpacker) -> None:
    unpack(archive(member("a", b"a"), link("b", "a")))
    made = Box(CopySnapshotter, unpack.store, BlobStore(tmp_path / "s"), tmp_path / "c", [one(1)])
    assert (made.root / "a").stat().st_ino == (made.root / "b").stat().st_ino
    assert made.changes() == []


def one(number: int) -> str:
    return f"sha256:{number:064x}"
