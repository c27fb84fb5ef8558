"""What a container changed: as a list, and as a layer, a compressed tar."""

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ipycontainer_runtime.layers.apply import Unpacking
from ipycontainer_runtime.layers.changes import Change, changes
from ipycontainer_runtime.layers.compression import GZIP, MEDIA_TYPES, compressor
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pack import Packing
from ipycontainer_runtime.layers.pipe import Feed, Work
from ipycontainer_runtime.layers.tarread import DEFAULT_LIMITS
from ipycontainer_runtime.layers.tarwrite import TarWriter, whiteout
from ipycontainer_runtime.layers.upper import Node
from ipycontainer_runtime.store.blobs import BlobWriter, Stored
from ipycontainer_runtime.store.layers import Staging

__all__ = ["Change", "Packed", "changes", "write_archive", "write_blob", "write_layer"]

Put = Callable[[bytes], None]


class Packed(NamedTuple):
    """A layer that was written: its blob and what a manifest and a config say of it."""

    blob: Stored
    media_type: str
    diff_id: str
    size: int
    """Bytes of its files."""


def write_layer(
    nodes: Iterable[tuple[Node, bool]],
    *,
    blob: BlobWriter,
    staging: Staging,
    ownership: Ownership,
    of_container: Ownership | None = None,
    compression: str = GZIP,
) -> Packed:
    """Write a snapshotter's walk as a compressed OCI layer into `blob`, and unpack it in `staging`.

    `of_container` is how its files keep their ids, where that differs from the layers'.
    """
    return write_archive(
        lambda tar: _pack(nodes, tar, of_container or ownership),
        blob=blob,
        staging=staging,
        ownership=ownership,
        compression=compression,
    )


def write_archive(
    fill: Callable[[TarWriter], None],
    *,
    blob: BlobWriter,
    staging: Staging,
    ownership: Ownership,
    compression: str = GZIP,
) -> Packed:
    """Write what `fill` puts into a tar as a compressed OCI layer, and unpack it in `staging`.

    The caller then commits `staging` under the chain id (`LayerInfo(diff_id, size)`). Files are
    read once, on one thread; the archive goes to a second that compresses and to a third that
    unpacks it, so the unpacked layer is what anybody who pulls it gets. `fill` closes the tar.
    """
    unpacking = Unpacking(staging, ownership, DEFAULT_LIMITS)

    def pack(put: Put) -> None:
        def twice(chunk: bytes) -> None:
            put(chunk)
            unpacking.put(chunk)

        with unpacking:
            fill(TarWriter(twice))

    packed = _write(pack, blob, compression)
    return packed._replace(size=unpacking.result().size)


def write_blob(
    nodes: Iterable[tuple[Node, bool]],
    *,
    blob: BlobWriter,
    ownership: Ownership,
    compression: str = GZIP,
) -> Packed:
    """Write a walk as a compressed OCI layer into `blob`; what is walked is the unpacked layer."""
    counted = _Counted(nodes)
    packed = _write(lambda put: _pack(counted, TarWriter(put), ownership), blob, compression)
    return packed._replace(size=counted.size)


def _write(pack: Callable[[Put], None], blob: BlobWriter, compression: str) -> Packed:
    """Compress and hash on this thread what `pack` gives on another; the size stays 0."""
    feed = Feed()

    def run() -> None:
        try:
            pack(feed.put)
        finally:
            feed.end()

    packing = Work("tar", run)
    squeezer, diff_hash = compressor(compression), hashlib.sha256()
    try:
        for chunk in feed:
            diff_hash.update(chunk)
            blob.write(squeezer.compress(chunk))
        blob.write(squeezer.flush())
    finally:
        feed.stop()
        packing.join()
    packing.result()
    diff_id = f"sha256:{diff_hash.hexdigest()}"
    return Packed(blob.commit(), MEDIA_TYPES[compression], diff_id, 0)


class _Counted:
    """A walk whose regular files are added up on the way; hard links count once."""

    def __init__(self, nodes: Iterable[tuple[Node, bool]]) -> None:
        self._nodes = nodes
        self._linked: set[int] = set()
        self.size = 0

    def __iter__(self) -> Iterator[tuple[Node, bool]]:
        for node, left in self._nodes:
            status = node.status
            if stat.S_ISREG(status.st_mode) and status.st_ino not in self._linked:
                if status.st_nlink > 1:
                    self._linked.add(status.st_ino)
                self.size += status.st_size
            yield node, left


def _pack(nodes: Iterable[tuple[Node, bool]], tar: TarWriter, ownership: Ownership) -> None:
    packing = Packing(tar, ownership)
    for node, left in nodes:
        if left:
            continue
        if node.is_whiteout:
            tar.entry(whiteout(_whiteout_of(node.path)))
            continue
        packing.add(node)
        if node.is_opaque:
            tar.entry(whiteout(node.path + b"/.wh..wh..opq"))
    tar.close()


def _whiteout_of(path: bytes) -> bytes:
    parent, slash, leaf = path.rpartition(b"/")
    return parent + slash + b".wh." + leaf
