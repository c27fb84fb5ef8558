"""Files into a tar: what a walk finds, with all that an archive can say of it.

Files are read by descriptor while a container may write to them: what is swapped for a link is left
out, what is cut short is filled up with zeros, since its size was written already.
"""

import os
import stat
from collections.abc import Callable

from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.tarread import (
    BLOCK_DEVICE,
    CHARACTER,
    FIFO,
    FOLDER,
    HARD_LINK,
    PRIVATE_XATTRS,
    REGULAR,
    SYMLINK,
    Entry,
)
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.layers.upper import Node, below

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


class Packing:
    """Writes the nodes of one walk, in their order, under their paths as names.

    `adjust` is given each entry before it is written, to change what is said of it.
    """

    def __init__(
        self, tar: TarWriter, ownership: Ownership, adjust: Callable[[Entry], None] | None = None
    ) -> None:
        self._tar = tar
        self._ownership = ownership
        self._adjust = adjust
        # First name of each file that has several.
        self._linked: dict[tuple[int, int], bytes] = {}

    def add(self, node: Node) -> None:
        """Write one node; a file that has gone since its folder was listed is left out."""
        if node.is_folder:
            self._folder(node)
        elif stat.S_ISREG(node.status.st_mode):
            self._regular(node)
        elif not stat.S_ISSOCK(node.status.st_mode):  # no archive has a type for sockets
            self._special(node)

    def _entry(self, node: Node, status: os.stat_result, target: int | bytes) -> Entry:
        file = target if isinstance(target, int) else node.parent
        uid, gid = self._ownership.from_disk(status.st_uid, status.st_gid, file)
        entry = Entry(
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
        if self._adjust is not None:
            self._adjust(entry)
        return entry

    def _folder(self, node: Node) -> None:
        entry = self._entry(node, node.status, node.folder)
        entry.name = below(node.path, b"") if node.path else b"./"
        self._tar.entry(entry)

    def _regular(self, node: Node) -> None:
        try:
            file = os.open(node.leaf, _OPEN_FILE, dir_fd=node.parent)
        except OSError:
            return  # gone, or swapped for a link, since its folder was listed
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or self._is_link(node, status, file):
                return
            entry = self._entry(node, status, file)
            entry.size = status.st_size
            if status.st_size > _SPARSE_FROM and status.st_blocks * 512 < status.st_size:
                pieces = data_pieces(file, status.st_size)
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

    def _is_link(self, node: Node, status: os.stat_result, file: int) -> bool:
        """Write a hard link to a name that this file had already; False if it had none."""
        if status.st_nlink == 1:
            return False
        first = self._linked.setdefault((status.st_dev, status.st_ino), node.path)
        if first == node.path:
            return False
        entry = self._entry(node, status, file)
        entry.type, entry.link, entry.xattrs = HARD_LINK, first, None  # its first name has them
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


def _xattrs(target: int | bytes) -> dict[bytes, bytes] | None:
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
        if not name.startswith(PRIVATE_XATTRS) and name != b"security.selinux":
            try:
                xattrs[name] = os.getxattr(target, name, follow_symlinks=follow)
            except OSError:
                continue  # taken away since they were listed
    return xattrs or None


def data_pieces(file: int, size: int) -> list[tuple[int, int]]:
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
