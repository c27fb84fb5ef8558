"""A tar stream into a folder, never outside it, as an overlay's lower.

Whiteouts become overlay's own marks (image-spec layer.md#whiteouts; Linux, overlayfs.rst). What
the archive says of an entry is set on a descriptor or without following links, in the order that
the kernel needs: owner, then xattrs and set-id bits, which a change of owner takes away, then
times. A folder's times and set-id bits come last, since what is made in it changes the first and
inherits the second.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

from ipycontainer_runtime.errors import Corrupt, InvalidParameter
from ipycontainer_runtime.layers.beneath import Folders
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.tarread import (
    BLOCK_DEVICE,
    CHARACTER,
    DEFAULT_LIMITS,
    FIFO,
    FOLDER,
    HARD_LINK,
    PRIVATE_XATTRS,
    REGULAR,
    SYMLINK,
    Entry,
    Limits,
    TarReader,
)
from ipycontainer_runtime.store.blobs import disk_error
from ipycontainer_runtime.store.trash import Trash

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WHITEOUT = b".wh."
_AUFS = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_SET_ID = 0o7000
_CLONE_FS = 0x200
# A file system that has no such xattr, or a user namespace that may not set it.
_XATTR_REFUSED = (errno.ENOTSUP, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


@dataclass
class Unpacked:
    """What an archive held, once it is all there."""

    size: int = 0
    """Bytes of its files."""
    implicit: set[bytes] = field(default_factory=set)
    """Folders that had to be made but were not named (empty for the root)."""


class Ground(Protocol):
    """The seam between an archive and where it is unpacked: a new layer, or a container's files."""

    @property
    def base(self) -> bytes:
        """The folder below the root that names in the archive start from; empty for the root."""
        ...

    @property
    def is_layer(self) -> bool:
        """Whether the archive is a layer: its whiteouts count, and it alone made what is there."""
        ...

    def owner(self, entry: Entry) -> tuple[int, int]:
        """Return the ids that an entry gets, as its container sees them."""
        ...

    def check_replaced(self, entry: Entry) -> None:
        """Refuse, if need be, that a folder is replaced by something else, or the reverse."""
        ...

    def remove_folder(self, parent: int, leaf: bytes) -> None:
        """Take away a folder that something else is to replace."""
        ...


class NewLayer(NamedTuple):
    """The empty folder of a layer."""

    trash: Trash
    base: bytes = b""
    is_layer: bool = True

    def owner(self, entry: Entry) -> tuple[int, int]:
        """Return the archive's ids."""
        return entry.uid, entry.gid

    def check_replaced(self, entry: Entry) -> None:
        """Allow it: the later entry of an archive counts."""

    def remove_folder(self, parent: int, leaf: bytes) -> None:
        """Move it to the trash, which is faster than to empty it."""
        os.rename(leaf, self.trash.place("replaced"), src_dir_fd=parent)


def untar(
    chunks: Iterable[bytes],
    root: Path,
    *,
    ownership: Ownership,
    trash: Trash,
    limits: Limits = DEFAULT_LIMITS,
) -> Unpacked:
    """Unpack the archive `chunks` into the empty folder `root`, on a thread that does only this.

    The thread's umask becomes 0, so that files are made with their modes. Raises Corrupt for a
    malformed or hostile archive, Unavailable when the disk is full; what was unpacked is then the
    caller's to discard.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return unpack(chunks, descriptor, ownership, NewLayer(trash), limits)
    finally:
        os.close(descriptor)


def unpack(
    chunks: Iterable[bytes], root: int, ownership: Ownership, ground: Ground, limits: Limits
) -> Unpacked:
    """Unpack an archive below the open folder `root`; thread and errors are as for `untar`."""
    umask = _own_umask()
    with _Unpacking(TarReader(chunks, limits), root, ownership, ground) as unpacking:
        unpacking.umask = umask
        return unpacking.run()


def _own_umask() -> int:
    """Part this thread's umask from the process's, which other threads make files with.

    Returns what it then is: 0, or the process's where a filter forbids any unshare(2), as that of
    Docker's engine does.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FS) == 0:
        os.umask(0)
        return 0
    status = Path("/proc/self/status").read_text()
    return int(status.partition("Umask:")[2].split()[0], 8)


class _Unpacking:
    def __init__(self, reader: TarReader, root: int, ownership: Ownership, ground: Ground) -> None:
        self._reader = reader
        self._ownership = ownership
        self._reach = ownership.reach
        self.umask = 0
        self._ground = ground
        self._opaque = ownership.overlay_prefix + b"overlay.opaque"
        # What is made has these ids, unless it inherits from a folder that was there.
        self._ids = (os.geteuid(), os.getegid()) if ground.is_layer else None
        self._result = Unpacked(implicit={b""})
        self._folders = Folders(root, self._made)
        # Set-id bits and mtime of each folder, for the end.
        self._late: dict[bytes, tuple[int, int]] = {}
        self._makers = {
            REGULAR: self._file,
            FOLDER: self._folder,
            SYMLINK: self._symlink,
            HARD_LINK: self._hard_link,
            FIFO: self._node,
            CHARACTER: self._node,
            BLOCK_DEVICE: self._node,
        }

    def __enter__(self) -> "_Unpacking":
        return self

    def __exit__(self, *exception: object) -> None:
        self._folders.forget()

    def run(self) -> Unpacked:
        for entry in self._reader.entries():
            path = clean(entry.name)
            try:
                if path:
                    self._unpack(entry, below(self._ground.base, path))
                elif entry.type == FOLDER and self._ground.is_layer:
                    self._attributes_of_folder(entry, b"", self._folders.root)
            except OSError as error:
                _explain(error, entry)
        self._finish_folders()
        return self._result

    def _unpack(self, entry: Entry, path: bytes) -> None:
        parent, _, leaf = path.rpartition(b"/")
        descriptor = self._folders.get(parent)
        if self._ground.is_layer and leaf.startswith(_WHITEOUT):
            self._whiteout(descriptor, leaf)
        else:
            self._makers[entry.type](entry, path, descriptor, leaf)

    def _made(self, path: bytes) -> None:
        self._reader.count()
        self._result.implicit.add(path)

    def _file(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> None:
        mode = entry.mode
        at_first = mode & 0o777 | self._reach
        try:
            file = os.open(leaf, _CREATE, at_first, dir_fd=parent)
        except FileExistsError:
            parent = self._clear(entry, path, parent, leaf)
            file = os.open(leaf, _CREATE, at_first, dir_fd=parent)
        try:
            if entry.holes is not None:
                self._sparse(entry, file)
            else:
                for piece in self._reader.content():
                    _write(file, piece)
            self._result.size += entry.size
            self._own(entry, file)
            if entry.xattrs:
                self._set_xattrs(entry.xattrs, file)
            if self._was_made_otherwise(mode):
                os.chmod(file, mode)
            os.utime(file, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(file)

    def _was_made_otherwise(self, mode: int) -> bool:
        """Tell whether a file could not be made with this mode from the beginning."""
        return bool(mode & (_SET_ID | self.umask) or self._reach & ~mode)

    def _own(self, entry: Entry, file: int) -> None:
        ids = self._ground.owner(entry)
        owner = self._ownership.to_disk(*ids)
        if owner != self._ids:
            os.chown(file, *owner)
        self._ownership.record(file, *ids)

    def _sparse(self, entry: Entry, file: int) -> None:
        for offset, length in entry.holes or ():
            os.lseek(file, offset, os.SEEK_SET)
            for piece in self._reader.content(length):
                _write(file, piece)
        os.ftruncate(file, entry.size)

    def _folder(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> None:
        try:
            os.mkdir(leaf, entry.mode & 0o777 | self._reach, dir_fd=parent)
        except FileExistsError:
            self._folder_over(entry, path, parent, leaf)
        else:
            if entry.xattrs or self._ids is None or self._ground.owner(entry) != (0, 0):
                self._attributes_of_folder(entry, path, self._folders.get(path))
        self._late[path] = (entry.mode, entry.mtime)

    def _folder_over(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> None:
        """Take over a folder that is there; replace anything else."""
        status = os.stat(leaf, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            self._ground.check_replaced(entry)
            parent = self._clear(entry, path, parent, leaf)
            os.mkdir(leaf, entry.mode & 0o777 | self._reach, dir_fd=parent)
        descriptor = self._folders.get(path)
        if self._ground.is_layer and is_whiteout(status):
            # The archive took a folder away and made a new one: nothing of the old shows through.
            os.setxattr(descriptor, self._opaque, b"y")
        self._attributes_of_folder(entry, path, descriptor)

    def _attributes_of_folder(self, entry: Entry, path: bytes, descriptor: int) -> None:
        self._result.implicit.discard(path)
        ids = self._ground.owner(entry)
        os.chown(descriptor, *self._ownership.to_disk(*ids))  # it may have been another entry's
        self._ownership.record(descriptor, *ids)
        os.chmod(descriptor, entry.mode & 0o777 | self._reach)
        if entry.xattrs:
            self._set_xattrs(entry.xattrs, descriptor)
        self._late[path] = (entry.mode, entry.mtime)

    def _symlink(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> None:
        target = _checked(entry.link, entry)
        try:
            os.symlink(target, leaf, dir_fd=parent)
        except FileExistsError:
            parent = self._clear(entry, path, parent, leaf)
            os.symlink(target, leaf, dir_fd=parent)
        self._attributes_by_name(entry, parent, leaf)

    def _hard_link(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> None:
        target = below(self._ground.base, clean(_checked(entry.link, entry)))
        if target == path:
            return
        folder, _, name = target.rpartition(b"/")
        try:
            source = self._folders.existing(folder)
            try:
                os.link(name, leaf, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            except FileExistsError:
                parent = self._clear(entry, path, parent, leaf)
                source = self._folders.existing(folder)
                os.link(name, leaf, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Corrupt(
                f"the archive links {entry.name[:200]!r} to {entry.link[:200]!r},"
                " which is not in it"
            ) from error

    def _node(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> None:
        if entry.type != FIFO and not self._ownership.devices:
            return  # no user namespace may make them, and no container here can open them
        kind = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}[entry.type]
        number = os.makedev(*entry.device)
        try:
            os.mknod(leaf, kind | entry.mode & 0o777, number, dir_fd=parent)
        except FileExistsError:
            parent = self._clear(entry, path, parent, leaf)
            os.mknod(leaf, kind | entry.mode & 0o777, number, dir_fd=parent)
        if entry.mode & self.umask:
            os.chmod(leaf, entry.mode & 0o777, dir_fd=parent)
        self._attributes_by_name(entry, parent, leaf)

    def _attributes_by_name(self, entry: Entry, parent: int, leaf: bytes) -> None:
        """Set what a symlink, fifo or device has; none can be opened without side effects."""
        owner = self._ownership.to_disk(*self._ground.owner(entry))
        if owner != self._ids:
            os.chown(leaf, *owner, dir_fd=parent, follow_symlinks=False)
        if entry.xattrs:
            self._set_xattrs(entry.xattrs, b"/proc/self/fd/%d/%s" % (parent, leaf))
        os.utime(leaf, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _set_xattrs(self, xattrs: dict[bytes, bytes], target: int | bytes) -> None:
        follow = isinstance(target, int)
        for name, value in xattrs.items():
            if name.startswith(PRIVATE_XATTRS):
                continue
            try:
                os.setxattr(target, name, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in _XATTR_REFUSED:
                    raise

    def _whiteout(self, parent: int, leaf: bytes) -> None:
        if leaf == _OPAQUE:
            os.setxattr(parent, self._opaque, b"y")
            return
        if leaf.startswith(_AUFS):
            return  # aufs's own files, which mean nothing elsewhere
        hidden = leaf[len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise Corrupt(f"the archive has the whiteout {leaf!r}, which hides no name")
        try:
            _make_whiteout(hidden, parent)
        except FileExistsError:
            # A whiteout hides what is below its layer, not what its layer holds.
            status = os.stat(hidden, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                folder = os.open(hidden, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                try:
                    os.setxattr(folder, self._opaque, b"y")
                finally:
                    os.close(folder)

    def _clear(self, entry: Entry, path: bytes, parent: int, leaf: bytes) -> int:
        """Take away what is there under the same name.

        Returns the parent's descriptor, which may be another afterwards.
        """
        try:
            os.unlink(leaf, dir_fd=parent)
        except IsADirectoryError:
            self._ground.check_replaced(entry)
            self._ground.remove_folder(parent, leaf)
            below = path + b"/"
            for gone in [p for p in self._late if p == path or p.startswith(below)]:
                del self._late[gone]
            self._result.implicit = {
                p for p in self._result.implicit if p != path and not p.startswith(below)
            }
            self._folders.forget()
        return self._folders.get(path.rpartition(b"/")[0])

    def _finish_folders(self) -> None:
        # What is below comes first: the last mode of a folder may be one that lets nobody in.
        for path, (mode, mtime) in reversed(self._late.items()):
            try:
                descriptor = self._folders.existing(path)
            except OSError:
                if self._ground.is_layer:
                    raise
                continue  # a container has taken it away meanwhile
            if self._was_made_otherwise(mode) or not self._ground.is_layer:
                os.chmod(descriptor, mode)
            os.utime(descriptor, ns=(mtime, mtime))


def clean(name: bytes) -> bytes:
    """Return a path relative to the root, without empty or `.` parts; empty for the root.

    Corrupt for one that leads out of it.
    """
    if name.startswith(b"./"):
        name = name[2:]
    name = name.strip(b"/")
    if b"//" in name or b"/." in name or name.startswith(b".") or b"\0" in name:
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts or b"\0" in name:
            raise Corrupt(f"the archive has the path {name[:200]!r}, which leads out of its root")
        name = b"/".join(parts)
    return name


def _checked(link: bytes, entry: Entry) -> bytes:
    if not link or b"\0" in link:
        raise Corrupt(f"the archive has the link {entry.name[:200]!r} without a target")
    return link


def _make_whiteout(name: bytes, folder: int) -> None:
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=folder)
    except PermissionError:
        # An overlay takes no mark of another overlay, nor could one stand on it. No archive has a
        # type for sockets, so that one is our own.
        os.mknod(name, stat.S_IFSOCK | 0o600, dir_fd=folder)


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether this is a layer's mark of a name that was taken away."""
    device = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
    return device or stat.S_ISSOCK(status.st_mode)


def below(folder: bytes, path: bytes) -> bytes:
    """Return a path below a folder of the root; either may be empty."""
    return folder + b"/" + path if folder and path else folder or path


def _write(file: int, piece: memoryview) -> None:
    while (written := os.write(file, piece)) < len(piece):
        piece = piece[written:]


def _explain(error: OSError, entry: Entry) -> NoReturn:
    name = repr(entry.name[:200])
    if error.errno in _FULL:
        raise disk_error(error, f"cannot unpack {name}") from error
    if error.errno == errno.EINVAL and (entry.uid or entry.gid):
        raise InvalidParameter(
            f"cannot unpack {name}: it belongs to {entry.uid}:{entry.gid}, outside the ids this"
            " engine may use; give your user a larger range in /etc/subuid and /etc/subgid"
        ) from error
    raise Corrupt(f"cannot unpack {name}: {error.strerror}") from error
