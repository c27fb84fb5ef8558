"""Layers into one folder of their own, for machines that allow no overlay."""

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ipycontainer_runtime.layers.merged import look_up, names
from ipycontainer_runtime.layers.pack import data_pieces
from ipycontainer_runtime.layers.tarread import OVERLAY_MARKS

_SMALL = 16384
"""Bytes up to which a file is read and written at once: there is nothing to be saved."""
_FICLONE = 0x40049409  # include/uapi/linux/fs.h
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def replicate(folders: Sequence[Path], target: Path, prefix: bytes) -> None:
    """Make `target` hold what `folders`, uppermost first, show together; `target` must not be.

    `prefix` is that of overlay's xattrs. Hard links stay links. Slow: it copies every file, by
    reference where the file system can.
    """
    copying = _Copying(prefix)
    target.mkdir()
    copying.tree([os.fsencode(folder) for folder in folders], os.fsencode(target))


class _Copying:
    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._linked: dict[tuple[int, int], bytes] = {}

    def tree(self, folders: list[bytes], target: bytes) -> None:
        """Copy merged folders; no recursion, since layers can nest deeper than any stack."""
        pending = [(folders, target)]
        made = []
        while pending:
            merged, place = pending.pop()
            made.append((merged[0], place))
            for leaf in names(merged):
                shown = look_up(merged, leaf, self._prefix)
                if shown.status is None:
                    continue
                path = place + b"/" + leaf
                if stat.S_ISDIR(shown.status.st_mode):
                    os.mkdir(path, 0o700)
                    pending.append((list(shown.folders), path))
                else:
                    self._other(shown.path, shown.status, path)
        # A folder's time, and a mode that lets nobody in, come when all is in it.
        for source, place in reversed(made):
            copy_attributes(source, os.lstat(source), place)

    def _other(self, source: bytes, status: os.stat_result, target: bytes) -> None:
        if status.st_nlink > 1:
            first = self._linked.setdefault((status.st_dev, status.st_ino), target)
            if first != target:
                os.link(first, target, follow_symlinks=False)
                return
        if stat.S_ISREG(status.st_mode):
            _content(source, target)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, status.st_mode, status.st_rdev)
        copy_attributes(source, status, target)


def copy_attributes(source: int | bytes, status: os.stat_result, target: int | str | bytes) -> None:
    """Give a new file the owner, mode, times and xattrs of another, but for an overlay's marks."""
    follow = isinstance(target, int)
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=follow)
    for name in os.listxattr(source, follow_symlinks=follow):
        if not os.fsencode(name).startswith(OVERLAY_MARKS):
            value = os.getxattr(source, name, follow_symlinks=follow)
            os.setxattr(target, name, value, follow_symlinks=follow)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=follow)


def _by_pieces(read: int, write: int) -> None:
    size = os.fstat(read).st_size
    for offset, length in data_pieces(read, size):
        os.lseek(write, offset, os.SEEK_SET)
        while length:
            sent = os.sendfile(write, read, offset, length)
            offset, length = offset + sent, length - sent
    os.ftruncate(write, size)


def _content(source: bytes, target: bytes) -> None:
    read = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write = os.open(target, _NEW, 0o600)
        try:
            copy_content(read, write)
        finally:
            os.close(write)
    finally:
        os.close(read)


def copy_content(read: int, write: int) -> None:
    """Copy a file into a new one: by reference where the file system can; holes stay holes."""
    if os.fstat(read).st_size <= _SMALL:
        os.write(write, os.read(read, _SMALL))
        return
    try:
        fcntl.ioctl(write, _FICLONE, read)
    except OSError:
        _by_pieces(read, write)
