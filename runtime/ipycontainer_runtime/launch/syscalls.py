"""System calls as they are: constants under the kernel's names, one function per call, no logic.

Sources: include/uapi/linux of the kernel; man-pages mount(2), fsopen(2), openat2(2), capset(2).
"""

import ctypes
import errno
import functools
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWUTS = 0x04000000
CLONE_PARENT = 0x00008000
FSCONFIG_CMD_CREATE = 6
FSCONFIG_SET_FD = 5
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSMOUNT_CLOEXEC = 1
FSOPEN_CLOEXEC = 1
IFF_UP = 1
KEYCTL_JOIN_SESSION_KEYRING = 1
MNT_DETACH = 2
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_STRICTATIME = 0x20
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MS_NODEV = 0x04
MS_PRIVATE = 0x40000
MS_RDONLY = 0x01
MS_REC = 0x4000
MS_SHARED = 0x100000
MS_SLAVE = 0x80000
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
OPEN_TREE_CLONE = 1
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_CAP_AMBIENT_RAISE = 2
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
SECCOMP_MODE_FILTER = 2
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431
_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# Numbers that differ between machines; those from open_tree on are the same everywhere.
_NR: dict[str, dict[str, int]] = {
    "x86_64": {"capset": 126, "clone": 56, "keyctl": 250, "pivot_root": 155},
    "aarch64": {"capset": 91, "clone": 220, "keyctl": 219, "pivot_root": 41},
}
NR = _NR.get(os.uname().machine, _NR["x86_64"]) | {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}

_libc = ctypes.CDLL(None, use_errno=True)
_flags, _long, _text_ = ctypes.c_ulong, ctypes.c_long, ctypes.c_char_p
Arguments = type["ctypes._SimpleCData[Any]"]


def _function(name: str, *arguments: Arguments) -> Callable[..., int]:
    function = _libc[name]
    function.argtypes = arguments
    return function


def _system_call(name: str, *arguments: Arguments) -> Callable[..., int]:
    # An object of its own for each call, as each has other arguments; `_libc[…]` makes one.
    function = _libc["syscall"]
    function.restype, function.argtypes = _long, (_long, *arguments)
    return functools.partial(function, NR[name])


_capset = _system_call("capset", _text_, _text_)
_clone = _system_call("clone", *[_flags] * 5)
_close_range = _system_call("close_range", *[_flags] * 3)
_fsconfig = _system_call("fsconfig", _long, _long, _text_, _text_, _long)
_fsmount = _system_call("fsmount", _long, _flags, _flags)
_fsopen = _system_call("fsopen", _text_, _flags)
_keyctl = _system_call("keyctl", _long, _text_)
_mount = _function("mount", _text_, _text_, _text_, _flags, _text_)
_mount_setattr = _system_call("mount_setattr", _long, _text_, _flags, _text_, _flags)
_move_mount = _system_call("move_mount", _long, _text_, _long, _text_, _flags)
_open_tree = _system_call("open_tree", _long, _text_, _flags)
_openat2 = _system_call("openat2", _long, _text_, _text_, _flags)
_pivot_root = _system_call("pivot_root", _text_, _text_)
_prctl = _function("prctl", ctypes.c_int, *[_flags] * 4)
_setdomainname = _function("setdomainname", _text_, ctypes.c_size_t)
_setns = _function("setns", ctypes.c_int, ctypes.c_int)
_umount2 = _function("umount2", _text_, ctypes.c_int)
_unshare = _function("unshare", ctypes.c_int)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _text(value: str | None) -> bytes | None:
    if value is not None and "\0" in value:
        # The kernel would read as far as that, and find something else.
        raise OSError(errno.EINVAL, "a zero byte is in no path")
    return None if value is None else os.fsencode(value)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's capability sets, each a mask of 1 << number."""
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    halves = [s & 0xFFFFFFFF for s in sets] + [s >> 32 for s in sets]
    _check(_capset(header, struct.pack("=6I", *halves)))


def clone(flags: int) -> int:
    """Clone this process like fork, with CLONE_… flags; return 0 in the child."""
    return _check(_clone(flags | signal.SIGCHLD, 0, 0, 0, 0))


def close_range(first: int, last: int) -> None:
    """Close every descriptor from `first` to `last`."""
    _check(_close_range(first, last, 0))


def fsconfig(fd: int, command: int, key: str | None, value: str | None, aux: int = 0) -> None:
    """Configure a file system context: a flag, a string, a descriptor (`aux`), or create it."""
    _check(_fsconfig(fd, command, _text(key), _text(value), aux))


def fsmount(fd: int, attributes: int) -> int:
    """Return a detached mount of a created file system, with MOUNT_ATTR_… attributes."""
    return _check(_fsmount(fd, FSMOUNT_CLOEXEC, attributes))


def fsopen(kind: str) -> int:
    """Open a context in which to configure a new file system."""
    return _check(_fsopen(_text(kind), FSOPEN_CLOEXEC))


def join_session_keyring() -> None:
    """Give this process a new, empty session keyring of its own."""
    _check(_keyctl(KEYCTL_JOIN_SESSION_KEYRING, None))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    """Mount in the classic way, or change a mount's propagation."""
    _check(_mount(_text(source), _text(target), _text(kind), flags, _text(data)))


def mount_setattr(
    fd: int, attributes: int, propagation: int = 0, recursive: bool = False, users: int = 0
) -> None:
    """Set attributes and propagation of the mount that `fd` is the root of.

    MOUNT_ATTR_IDMAP shows its ids as the user namespace `users`, a descriptor, maps them.
    """
    clear = MOUNT_ATTR__ATIME if attributes & MOUNT_ATTR__ATIME else 0
    request = struct.pack("=QQQQ", attributes, clear, propagation, users)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _check(_mount_setattr(fd, b"", flags, request, len(request)))


def move_mount(fd: int, target: int) -> None:
    """Attach the mount `fd` at the open folder or file `target`."""
    _check(_move_mount(fd, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))


def open_tree(directory: int, path: str, flags: int = 0) -> int:
    """Return a detached clone of the mount at `path`, AT_RECURSIVE with all that is below it."""
    flags |= OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    return _check(_open_tree(directory, _text(path), flags))


def openat2(
    directory: int, path: str, flags: int, resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
) -> int:
    """Open `path` as if `directory` were `/`, unless `resolve` says otherwise: no symlink and no
    `..` leads out of it."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve)
    return _check(_openat2(directory, _text(path), how, len(how)))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace and put the present one at `old`."""
    _check(_pivot_root(_text(new), _text(old)))


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    """Change something about this process."""
    _check(_prctl(option, second, third, 0, 0))


def setdomainname(name: str) -> None:
    """Set the domain name of this UTS namespace."""
    encoded = name.encode()
    _check(_setdomainname(encoded, len(encoded)))


def setns(fd: int, kinds: int) -> None:
    """Enter the namespace, or those of a pidfd's process, that `fd` names."""
    _check(_setns(fd, kinds))


def set_seccomp_filter(program: bytes) -> None:
    """Filter this thread's system calls by a BPF program, an array of struct sock_filter."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    address = ctypes.cast(ctypes.c_char_p(fprog), ctypes.c_void_p).value or 0
    _check(_prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, address, 0, 0))


def umount2(target: str, flags: int) -> None:
    """Unmount what is mounted at `target`."""
    _check(_umount2(_text(target), flags))


def unshare(kinds: int) -> None:
    """Give this process, or for CLONE_NEWPID its later children, new namespaces."""
    _check(_unshare(kinds))
