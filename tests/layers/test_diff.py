"""What a container changes on a real overlay is what its layer holds."""

import gzip
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from archives import Unpacker, archive, folder, member, symlink, tree
from test_untar import make_rich

from ipycontainer_runtime.layers.diff import Packed, changes, write_layer
from ipycontainer_runtime.layers.ownership import Mapped
from ipycontainer_runtime.layers.snapshot import OverlaySnapshotter
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


class Box:
    """A container's root on a real overlay, without the container."""

    def __init__(self, store: LayerStore, blobs: BlobStore, folder: Path, chain: Sequence[str]):
        self.store, self.blobs, self.folder, self.chain = store, blobs, folder, chain
        self.ownership = Mapped()
        self.snapshots = OverlaySnapshotter(store, self.ownership)
        folder.mkdir()
        (mount,) = self.snapshots.prepare(folder, chain)
        options = mount.options
        assert isinstance(options, OverlayOptions)
        self.root = folder / "rootfs"
        text = f"lowerdir={':'.join(options.lowerdir)}"
        text += f",upperdir={options.upperdir},workdir={options.workdir}"
        text += ",userxattr" if options.userxattr else ""
        subprocess.run(["mount", "-t", "overlay", "-o", text, "overlay", self.root], check=True)

    def close(self) -> None:
        subprocess.run(["umount", self.root], check=True)

    def changes(self) -> list[str]:
        lowers = self.snapshots.lowers(self.chain)
        found = changes(self.folder / "upper", lowers, self.ownership)
        return ["CAD"[change.kind] + " " + change.path for change in found]

    def commit(self) -> tuple[Packed, Path]:
        """Pack the upper folder; returns also the folder of the new, unpacked layer."""
        with self.store.staging() as staging, self.blobs.writer() as blob:
            packed = write_layer(
                self.folder / "upper", blob=blob, staging=staging, ownership=self.ownership
            )
            root = staging.commit(packed.diff_id, LayerInfo(packed.diff_id, packed.size))
        return packed, root


@pytest.fixture
def box(tmp_path: Path, unpack: Unpacker) -> Iterator[Box]:
    lower = unpack(BASE)
    unpack(TOP, lowers=(lower,))
    chain = [f"sha256:{n:064x}" for n in (1, 2)]
    made = Box(unpack.store, BlobStore(tmp_path / "store"), tmp_path / "box", chain)
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
    assert names(box, packed) == [".", "data", "data/.wh..wh..opq", "etc", "etc/.wh.second", "new"]
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
    again = Box(box.store, box.blobs, tmp_path / "again", [*box.chain, packed.diff_id])
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
    make_rich(box.folder / "upper" / "rich")
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
    make_rich(box.folder / "upper" / "rich")
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
    upper = box.folder / "upper"
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
    upper = box.folder / "upper"
    (upper / "d").mkdir()
    os.setxattr(upper / "d", box.ownership.overlay_prefix + b"overlay.origin", b"x")
    os.setxattr(upper / "d", b"user.kept", b"y")
    packed, root = box.commit()
    assert os.listxattr(root / "d") == ["user.kept"]
    assert b"overlay" not in gzip.decompress(box.blobs.read(packed.blob.digest))


def test_a_container_nested_beyond_any_path_is_told(box: Box) -> None:
    folder = os.open(box.folder / "upper", os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 200, dir_fd=folder)
        inner = os.open("n" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(Exception, match="nested beyond 4095 bytes"):
        box.commit()
    box.store.trash.discard(box.folder / "upper" / ("n" * 200))
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
