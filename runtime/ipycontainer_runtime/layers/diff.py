"""What a container changed: as a list, and as a layer, the upper folder in a compressed tar."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.layers.apply import Unpacking
from ipycontainer_runtime.layers.changes import Change, changes
from ipycontainer_runtime.layers.compression import GZIP, MEDIA_TYPES, compressor
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pipe import Feed, Work
from ipycontainer_runtime.layers.tarread import (
    BLOCK_DEVICE,
    CHARACTER,
    DEFAULT_LIMITS,
    FIFO,
    FOLDER,
    HARD_LINK,
    OVERLAY_XATTRS,
    REGULAR,
    SYMLINK,
    Entry,
)
from ipycontainer_runtime.layers.tarwrite import TarWriter, whiteout
from ipycontainer_runtime.layers.upper import Node, is_opaque, walk
from ipycontainer_runtime.store.blobs import BlobWriter, Stored
from ipycontainer_runtime.store.layers import Staging

__all__ = ["Change", "Packed", "changes", "write_layer"]

_READ = 1 << 20
# A hole saves room only where it is larger than the blocks that describe it.
_SPARSE_FROM = 64 << 10
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
}


class Packed(NamedTuple):
    """A layer that was written: its blob and what a manifest and a config say of it."""

    blob: Stored
    media_type: str
    diff_id: str
    size: int
    """Bytes of its files."""


def write_layer(
    upper: Path,
    *,
    blob: BlobWriter,
    staging: Staging,
    ownership: Ownership,
    compression: str = GZIP,
) -> Packed:
    """Write `upper` as a compressed OCI layer into `blob`, commit it, and unpack it in `staging`.

    The caller then commits `staging` under the chain id (`LayerInfo(diff_id, size)`). Files are
    read once, on one thread; the archive goes to a second that compresses and to a third that
    unpacks it, so the unpacked layer is what anybody who pulls it gets.
    """
    feed = Feed()
    unpacking = Unpacking(staging, ownership, DEFAULT_LIMITS)

    def put(chunk: bytes) -> None:
        feed.put(chunk)
        unpacking.put(chunk)

    def pack() -> None:
        try:
            with unpacking:
                _Packing(TarWriter(put), ownership).run(upper)
        finally:
            feed.end()

    packing = Work("tar", pack)
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
    unpacked = unpacking.result()
    diff_id = f"sha256:{diff_hash.hexdigest()}"
    return Packed(blob.commit(), MEDIA_TYPES[compression], diff_id, unpacked.size)


class _Packing:
    """One upper folder on its way into an archive."""

    def __init__(self, tar: TarWriter, ownership: Ownership) -> None:
        self._tar = tar
        self._ownership = ownership
        # First name of each file that has several.
        self._linked: dict[tuple[int, int], bytes] = {}

    def run(self, upper: Path) -> None:
        for node, left in walk(upper):
            if left:
                continue
            if node.is_whiteout:
                self._tar.entry(whiteout(_whiteout_of(node.path)))
            elif node.is_folder:
                self._folder(node)
            elif stat.S_ISREG(node.status.st_mode):
                self._regular(node)
            elif not stat.S_ISSOCK(node.status.st_mode):  # no archive has a type for sockets
                self._special(node)
        self._tar.close()

    def _entry(self, node: Node, status: os.stat_result, target: int | bytes) -> Entry:
        uid, gid = self._ownership.from_disk(status.st_uid, status.st_gid)
        return Entry(
            node.path,
            _TYPES[stat.S_IFMT(status.st_mode)],
            stat.S_IMODE(status.st_mode),
            uid,
            gid,
            status.st_mtime_ns,
            b"",
            0,
            0,
            xattrs=_xattrs(target),
        )

    def _folder(self, node: Node) -> None:
        entry = self._entry(node, node.status, node.folder)
        entry.name = node.path + b"/" if node.path else b"./"
        self._tar.entry(entry)
        if node.path and is_opaque(node.folder, self._ownership.overlay_prefix):
            self._tar.entry(whiteout(node.path + b"/.wh..wh..opq"))

    def _regular(self, node: Node) -> None:
        try:
            file = os.open(node.leaf, _OPEN_FILE, dir_fd=node.parent)
        except OSError:
            return  # gone, or swapped for a link, since its folder was listed
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or self._is_link(node, status):
                return
            entry = self._entry(node, status, file)
            entry.size = status.st_size
            if status.st_size > _SPARSE_FROM and status.st_blocks * 512 < status.st_size:
                pieces = _pieces(file, status.st_size)
                entry.stored = sum(length for _, length in pieces)
                self._tar.entry(entry, pieces)
            else:
                pieces = [(0, status.st_size)]
                entry.stored = status.st_size
                self._tar.entry(entry)
            for offset, length in pieces:
                self._content(file, offset, length)
            self._tar.end_content(entry.stored)
        finally:
            os.close(file)

    def _is_link(self, node: Node, status: os.stat_result) -> bool:
        """Write a hard link to a name that this file had already; False if it had none."""
        if status.st_nlink == 1:
            return False
        first = self._linked.setdefault((status.st_dev, status.st_ino), node.path)
        if first == node.path:
            return False
        entry = self._entry(node, status, b"")
        entry.type, entry.link = HARD_LINK, first
        self._tar.entry(entry)
        return True

    def _content(self, file: int, offset: int, length: int) -> None:
        """Write exactly this piece; what a running container has cut meanwhile is zeros."""
        while length:
            piece = os.pread(file, min(length, _READ), offset)
            if not piece:
                piece = bytes(min(length, _READ))
            self._tar.content(piece)
            offset += len(piece)
            length -= len(piece)

    def _special(self, node: Node) -> None:
        path = b"/proc/self/fd/%d/%s" % (node.parent, node.leaf)
        entry = self._entry(node, node.status, path)
        if entry.type == SYMLINK:
            try:
                entry.link = os.readlink(node.leaf, dir_fd=node.parent)
            except OSError:
                return  # gone since its folder was listed
        elif entry.type in (CHARACTER, BLOCK_DEVICE):
            entry.device = os.major(node.status.st_rdev), os.minor(node.status.st_rdev)
        self._tar.entry(entry)


def _whiteout_of(path: bytes) -> bytes:
    parent, slash, leaf = path.rpartition(b"/")
    return parent + slash + b".wh." + leaf


def _xattrs(target: int | bytes) -> dict[bytes, bytes] | None:
    if target == b"":
        return None  # a hard link's are those of its first name
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError:
        return None
    if not names:
        return None
    xattrs = {}
    for name in map(os.fsencode, names):
        # A label is the host's business (Docker leaves SELinux's out too).
        if not name.startswith(OVERLAY_XATTRS) and name != b"security.selinux":
            try:
                xattrs[name] = os.getxattr(target, name, follow_symlinks=follow)
            except OSError:
                continue  # taken away since they were listed
    return xattrs or None


def _pieces(file: int, size: int) -> list[tuple[int, int]]:
    """Return offset and length of each piece of a file that is no hole."""
    pieces: list[tuple[int, int]] = []
    offset = 0
    while offset < size:
        try:
            start = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:
            break  # ENXIO: nothing but a hole follows
        offset = min(os.lseek(file, start, os.SEEK_HOLE), size)
        if offset <= start:
            break
        pieces.append((start, offset - start))
    # GNU's readers take the size from the last piece, which may be empty.
    if not pieces or sum(pieces[-1]) < size:
        pieces.append((size, 0))
    return pieces
