"""A blob that is present is whole, and nothing else is left."""

import hashlib
import os
from pathlib import Path

import pytest

from ipycontainer_runtime.errors import Conflict, Corrupt, InvalidParameter, NotFound
from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.blobs import BlobStore, disk_error
from ipycontainer_runtime.store.lock import RootLock
from ipycontainer_runtime.store.trash import Trash

CONTENT = b"content"
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_blob_is_named_by_its_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.writer(DIGEST, len(CONTENT)) as writer:
        writer.write(CONTENT[:3])
        assert not store.has(DIGEST)
        writer.write(memoryview(CONTENT)[3:])
        assert writer.commit() == (DIGEST, len(CONTENT))
    assert store.read(DIGEST) == CONTENT
    assert list(store.all()) == [DIGEST]
    assert store.put(CONTENT).digest == DIGEST
    assert files(tmp_path) == [DIGEST[7:]]


def test_a_blob_with_another_digest_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.writer(DIGEST) as writer:
        writer.write(b"else")
        with pytest.raises(Corrupt, match="other content"):
            writer.commit()
    assert files(tmp_path) == []


def test_a_blob_shorter_than_declared_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.writer(DIGEST, 7) as writer:
        writer.write(CONTENT[:3])
        with pytest.raises(Corrupt, match="has 3 bytes where 7"):
            writer.commit()
    assert files(tmp_path) == []


def test_a_blob_longer_than_declared_is_refused_at_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.writer(None, 3) as writer, pytest.raises(Corrupt, match="more than the 3 bytes"):
        writer.write(CONTENT)
    assert files(tmp_path) == []


def test_what_a_killed_engine_left_is_removed(tmp_path: Path) -> None:
    BlobStore(tmp_path).writer().write(b"half")
    assert files(tmp_path)
    BlobStore(tmp_path)
    assert files(tmp_path) == []


def test_a_large_blob_is_not_read_into_memory(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(CONTENT)
    with pytest.raises(Corrupt, match="more than the 3 bytes"):
        store.read(DIGEST, 3)


def test_a_missing_blob_is_not_found(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(NotFound, match="pull its image again"):
        store.open(DIGEST)
    with pytest.raises(InvalidParameter):
        store.path("sha256:../../../etc/passwd")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic.write(target, b"old")
    atomic.write(target, b"new", mode=0o600)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert files(tmp_path) == ["file"]


def test_a_name_that_no_disk_takes_is_not_the_disks_fault() -> None:
    with pytest.raises(OSError, match="too long") as caught:
        os.stat("x" * 300)
    told = str(disk_error(caught.value, "cannot unpack a layer"))
    assert told.startswith("cannot unpack a layer: xxx")
    assert told.endswith("File name too long: give it a shorter one")


def test_one_engine_has_the_root(tmp_path: Path) -> None:
    with RootLock(tmp_path / "lock"):
        with pytest.raises(Conflict, match=f"pid {os.getpid()}"):
            RootLock(tmp_path / "lock").acquire()
    with RootLock(tmp_path / "lock"):
        pass


def test_the_trash_deletes_what_is_nested_deeper_than_any_path(tmp_path: Path) -> None:
    trash = Trash(tmp_path)
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=folder)
        inner = os.open("deep", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").touch()
    (tmp_path / "deep/link").symlink_to(tmp_path / "outside")
    trash.discard(tmp_path / "deep")
    trash.discard(tmp_path / "absent")
    trash.empty()
    assert list(trash.folder.iterdir()) == []
    assert (tmp_path / "outside/kept").exists()
