"""Folders under a root, opened so that no name in an archive can lead out of it.

openat2(2) with RESOLVE_IN_ROOT: the kernel itself takes `..` and symlinks as if the root were `/`,
however the folders change meanwhile. Every file of a layer is then made by its last component in
such a folder's descriptor, never following a link.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from types import TracebackType

from ipycontainer_runtime.errors import Corrupt, Unavailable

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH_MAX = 4096
# Archives go depth first, so a few suffice; a process may have 1024 descriptors, and pulls overlap.
_OPEN_FOLDERS = 100


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_OpenHow),
    ctypes.c_size_t,
]


def open_folder(root: int, path: bytes) -> int:
    """Open the folder `path` as if the descriptor `root` were `/`; OSError as open(2) has it."""
    how = _OpenHow(_FOLDER, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    while True:
        descriptor = _libc.syscall(_SYS_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if descriptor >= 0:
            return int(descriptor)
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EPERM):
            raise Unavailable(
                f"openat2: {os.strerror(number)}. Archives are unpacked only by it: Linux 5.6 or"
                " newer is needed, and a sandbox that lets it through"
            )
        # EAGAIN: something was renamed meanwhile, so the kernel could not vouch for `..`.
        if number not in (errno.EAGAIN, errno.EINTR):
            raise OSError(number, os.strerror(number), path)


class Folders:
    """Open folders of one tree by their path, the last used ones kept; missing ones are made."""

    def __init__(self, root: int, made: Callable[[bytes], None]) -> None:
        self.root = root
        self._made = made
        self._open: dict[bytes, int] = {}

    def get(self, path: bytes) -> int:
        """Return a descriptor of the folder `path` (empty for the root), made if it is missing.

        `made` is called for each folder that is. The descriptor lives until the next call.
        """
        descriptor = self._open.pop(path, None)
        if descriptor is None:
            descriptor = self.root if not path else self._find(path)
        self._keep(path, descriptor)
        return descriptor

    def existing(self, path: bytes) -> int:
        """Return a descriptor of a folder that is there; FileNotFoundError otherwise."""
        known = self._open.get(path)
        if known is not None:
            return known
        descriptor = open_folder(self.root, path) if path else self.root
        self._keep(path, descriptor)
        return descriptor

    def forget(self) -> None:
        """Close what is open: called when a folder was replaced, and names mean something else."""
        for descriptor in self._open.values():
            if descriptor != self.root:
                os.close(descriptor)
        self._open.clear()

    def _keep(self, path: bytes, descriptor: int) -> None:
        self._open[path] = descriptor
        if len(self._open) > _OPEN_FOLDERS:
            oldest = next(iter(self._open))
            closed = self._open.pop(oldest)
            if closed != self.root:
                os.close(closed)

    def _find(self, path: bytes) -> int:
        if len(path) >= _PATH_MAX:
            raise Corrupt(f"the archive has a path of {len(path)} bytes, more than {_PATH_MAX - 1}")
        missing: list[bytes] = []
        while True:
            try:
                descriptor = open_folder(self.root, path) if path else os.dup(self.root)
                break
            except FileNotFoundError:
                path, _, leaf = path.rpartition(b"/")
                missing.append(leaf)
        for leaf in reversed(missing):
            path = path + b"/" + leaf if path else leaf
            descriptor = self._make(descriptor, leaf, path)
        return descriptor

    def _make(self, parent: int, leaf: bytes, path: bytes) -> int:
        """Make and open a folder; the parent's descriptor is closed."""
        try:
            os.mkdir(leaf, 0o755, dir_fd=parent)
            self._made(path)
            return os.open(leaf, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        except FileExistsError as error:
            raise Corrupt(
                f"the archive writes through {path[:200]!r}, a link to nowhere"
            ) from error
        finally:
            os.close(parent)

    def __enter__(self) -> "Folders":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.forget()
