"""Files of a running container into the pool of its checkpoints, and from there into a root.

Files are taken by their name in their folder's descriptor, following no link: the container is
frozen meanwhile, but it may share its files with others that are not. A root is made of the pool's
objects by hard links: it is only ever a lower folder, which an overlay never writes to.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ipycontainer_runtime.layers.replicate import copy_attributes, copy_content
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, Node
from ipycontainer_runtime.store.checkpoints import (
    FOLDER,
    OPAQUE,
    OTHER,
    WHITEOUT,
    Entry,
    Seen,
    Tree,
)

_PIECE = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# An inode takes no more names, as on ext4 after 65,000 of them.
_NO_LINKS = (errno.EMLINK, errno.EPERM, errno.EXDEV)


def seen(status: os.stat_result) -> Seen:
    """Return what tells whether a file was touched since."""
    return status.st_ino, status.st_size, status.st_ctime_ns, status.st_mtime_ns


class Pool:
    """The objects of one container's checkpoints; used by one thread, as a context manager."""

    def __init__(self, folder: Path, numbers: Iterator[int], until: int) -> None:
        """`until`: what was touched after it, in nanoseconds, may be touched again unseen."""
        self._fd = os.open(folder, OPEN_FOLDER)
        self._at = f"/proc/self/fd/{self._fd}"
        self._numbers = numbers
        self._until = until
        self._linked: dict[int, Entry] = {}
        self.made: list[int] = []
        self.size = 0
        """Bytes of the files that were copied."""

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)

    def take(self, node: Node, known: Entry | None, *, mapped: bool = False) -> Entry | None:
        """Copy one node; None where it has gone, or became something else, meanwhile.

        `known` is what was there before. `mapped` says that a process has the file in its memory
        and can write to it without a trace.
        """
        if node.is_whiteout:
            return Entry(WHITEOUT, seen=(0, 0, 0, 0))
        linked = not node.is_folder and node.status.st_nlink > 1
        if linked and (taken := self._linked.get(node.status.st_ino)):
            return taken
        try:
            entry = self._copied(node)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
                raise
            return None
        if mapped or (entry.seen and max(entry.seen[2:]) >= self._until):
            entry = Entry(entry.kind, entry.number, entry.size)
        if known and known.seen is None and (known.kind, entry.kind) == (OTHER, OTHER):
            entry = self._unless_same(known, entry)
        if linked:
            self._linked[node.status.st_ino] = entry
        return entry

    def _unless_same(self, known: Entry, entry: Entry) -> Entry:
        """Return what was there already if a file that was copied again is what it was."""
        old, new = f"{self._at}/{known.number}", f"{self._at}/{entry.number}"
        if (known.kind, known.size) != (entry.kind, entry.size) or _facts(old) != _facts(new):
            return entry
        if stat.S_ISREG(os.lstat(new).st_mode) and not _same_content(old, new):
            return entry
        self.made.remove(entry.number)
        os.unlink(str(entry.number), dir_fd=self._fd)
        self.size -= entry.size
        return Entry(known.kind, known.number, known.size, entry.seen)

    def _copied(self, node: Node) -> Entry:
        if node.is_folder:
            return self._folder(node)
        return self._file(node) if stat.S_ISREG(node.status.st_mode) else self._special(node)

    def _new(self) -> str:
        number = next(self._numbers)
        self.made.append(number)
        return str(number)

    def _file(self, node: Node) -> Entry:
        source = os.open(node.leaf, _READ, dir_fd=node.parent)
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ELOOP, "no file any more")
            name = self._new()
            target = os.open(name, _NEW, 0o600, dir_fd=self._fd)
            try:
                copy_content(source, target)
                copy_attributes(source, status, target)
            finally:
                os.close(target)
            after = os.fstat(source)
        finally:
            os.close(source)
        self.size += status.st_size
        unchanged = seen(after) == seen(status)
        return Entry(OTHER, int(name), status.st_size, seen(status) if unchanged else None)

    def _folder(self, node: Node) -> Entry:
        name = self._new()
        os.mkdir(name, 0o700, dir_fd=self._fd)
        target = os.open(name, OPEN_FOLDER, dir_fd=self._fd)
        try:
            copy_attributes(node.folder, node.status, target)
        finally:
            os.close(target)
        kind = OPAQUE if node.is_opaque else FOLDER
        return Entry(kind, int(name), 0, seen(node.status))

    def _special(self, node: Node) -> Entry:
        status, name = node.status, self._new()
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(node.leaf, dir_fd=node.parent), name, dir_fd=self._fd)
        else:
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=self._fd)
        source = b"/proc/self/fd/%d/%s" % (node.parent, node.leaf)
        copy_attributes(source, status, f"{self._at}/{name}")
        return Entry(OTHER, int(name), 0, seen(status))


def _same_content(old: str, new: str) -> bool:
    with open(old, "rb") as one, open(new, "rb") as other:
        while piece := one.read(_PIECE):
            if piece != other.read(_PIECE):
                return False
        return not other.read(1)


def _facts(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }
    link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
    owner = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev)
    return (*owner, status.st_mtime_ns, xattrs, link)


def lay_out(tree: Tree, pool: Path, target: Path, prefix: bytes, *, whole: bool = False) -> None:
    """Make `target` hold a tree in an overlay's form, whose marks have xattrs with this prefix.

    With `whole` the target has an image's files already: the tree is laid over them by copying,
    and takes away what it hides.
    """
    target.mkdir(mode=0o700, exist_ok=True)
    objects, root = os.open(pool, OPEN_FOLDER), os.open(target, OPEN_FOLDER)
    laying = _Laying(objects, root, prefix, whole=whole)
    try:
        ordered = sorted(tree.items())
        for path, entry in ordered:
            laying.put(path or b".", entry)
        # A folder's time, and a mode that lets nobody in, come when all is in it.
        for path, entry in reversed(ordered):
            if entry.kind in (FOLDER, OPAQUE):
                laying.finish(path or b".", entry)
    finally:
        os.close(root)
        os.close(objects)


class _Laying:
    def __init__(self, objects: int, root: int, prefix: bytes, *, whole: bool) -> None:
        self._objects = objects
        self._root = root
        self._prefix = prefix
        self._whole = whole
        self._copied: dict[int, bytes] = {}

    def put(self, path: bytes, entry: Entry) -> None:
        """Make one entry; a folder is still empty and its attributes are not set."""
        if self._whole:
            self._clear(path, entry)
        if entry.kind == WHITEOUT:
            if not self._whole:
                os.mknod(path, stat.S_IFCHR, 0, dir_fd=self._root)
        elif entry.kind == OTHER:
            self._other(path, entry)
        elif path != b".":
            try:
                os.mkdir(path, 0o700, dir_fd=self._root)
            except FileExistsError:  # the image's
                os.chmod(path, 0o700, dir_fd=self._root)

    def _clear(self, path: bytes, entry: Entry) -> None:
        try:
            status = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(path, dir_fd=self._root)
        elif entry.kind != FOLDER and path != b".":
            shutil.rmtree(b"/proc/self/fd/%d/%s" % (self._root, path))  # nobody else can reach it

    def _other(self, path: bytes, entry: Entry) -> None:
        name = str(entry.number)
        if not self._whole:
            try:
                os.link(
                    name,
                    path,
                    src_dir_fd=self._objects,
                    dst_dir_fd=self._root,
                    follow_symlinks=False,
                )
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            else:
                return
        first = self._copied.setdefault(entry.number, path)
        if first == path:
            self._copy(name, path)
        else:
            root = self._root
            os.link(first, path, src_dir_fd=root, dst_dir_fd=root, follow_symlinks=False)

    def _copy(self, name: str, path: bytes) -> None:
        source = b"/proc/self/fd/%d/%s" % (self._objects, name.encode())
        place = f"/proc/self/fd/{self._root}/{os.fsdecode(path)}"
        status = os.lstat(source)
        if stat.S_ISREG(status.st_mode):
            read = os.open(source, _READ)
            write = os.open(place, _NEW, 0o600)
            try:
                copy_content(read, write)
            finally:
                os.close(read)
                os.close(write)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), place)
        else:
            os.mknod(place, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
        copy_attributes(source, status, place)

    def finish(self, path: bytes, entry: Entry) -> None:
        """Give a folder its attributes."""
        source = os.open(str(entry.number), OPEN_FOLDER, dir_fd=self._objects)
        target = os.open(path, OPEN_FOLDER, dir_fd=self._root)
        try:
            copy_attributes(source, os.fstat(source), target)
            if entry.kind == OPAQUE and not self._whole:
                os.setxattr(target, self._prefix + b"overlay.opaque", b"y")
        finally:
            os.close(target)
            os.close(source)
