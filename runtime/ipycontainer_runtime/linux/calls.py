"""The system calls of this room that Python 3.10 has no functions for: call, test, raise."""

import ctypes
import os

CLONE_NEWCGROUP = 0x02000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWUTS = 0x04000000
IN_CLOEXEC = os.O_CLOEXEC
IN_CLOSE_WRITE = 0x00000008
IN_DELETE_SELF = 0x00000400
IN_IGNORED = 0x00008000
IN_MODIFY = 0x00000002
IN_MOVE_SELF = 0x00000800
IN_NONBLOCK = os.O_NONBLOCK
IN_Q_OVERFLOW = 0x00004000
MNT_DETACH = 0x00000002
MOUNT_ATTR_RDONLY = 0x00000001
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
FSCONFIG_CMD_CREATE = 6
FSCONFIG_SET_FD = 5
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSMOUNT_CLOEXEC = 1
FSOPEN_CLOEXEC = 1
PR_GET_SECCOMP = 21
UMOUNT_NOFOLLOW = 0x00000008
# The same on every architecture, as all calls since 424: include/uapi/asm-generic/unistd.h.
NR_FSOPEN = 430
NR_FSCONFIG = 431
NR_FSMOUNT = 432

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.inotify_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
)
_libc.setfsgid.argtypes = (ctypes.c_uint,)
_libc.setfsuid.argtypes = (ctypes.c_uint,)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; see unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Join the namespaces of a process, by pidfd (Linux 5.8); see setns(2)."""
    _check(_libc.setns(fd, flags), "setns")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    """Mount a file system, or change a mount; see mount(2)."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _check(_libc.mount(texts[0], texts[1], texts[2], flags, texts[3]), target)


def set_filesystem_ids(uid: int, gid: int) -> None:
    """Make what this thread makes be this user's and group's; see setfsuid(2)."""
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)


def umount(target: str, flags: int) -> None:
    """Unmount what is mounted at `target`; see umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def mount_propagation(target: str, flags: int) -> None:
    """Change how mounts under `target` spread; see mount(2)."""
    _check(_libc.mount(None, os.fsencode(target), None, flags, None), f"mount {target}")


def mount_bind(source: str, target: str) -> None:
    """Show a file or folder at another place as well; see mount(2)."""
    _check(
        _libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None),
        f"mount {target}",
    )


def unmount(target: str) -> None:
    """Take away what is mounted last at a place, once nobody uses it; see umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def get_seccomp() -> int:
    """Return this process's seccomp mode; see PR_GET_SECCOMP in prctl(2)."""
    return _check(_libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0), "prctl PR_GET_SECCOMP")


def inotify_init(flags: int) -> int:
    """Return a new inotify instance; see inotify_init1(2)."""
    return _check(_libc.inotify_init1(flags), "inotify_init1")


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Watch `path` for the events in `mask`; see inotify_add_watch(2)."""
    return _check(_libc.inotify_add_watch(fd, os.fsencode(path), mask), path)


def inotify_rm_watch(fd: int, watch: int) -> None:
    """Give up a watch; see inotify_rm_watch(2)."""
    _check(_libc.inotify_rm_watch(fd, watch), f"inotify_rm_watch {watch}")


def fsopen(kind: str, flags: int) -> int:
    """Begin to make a file system; see fsopen(2)."""
    return _check(_libc.syscall(NR_FSOPEN, os.fsencode(kind), flags), f"fsopen {kind}")


def fsconfig(fd: int, command: int, key: str | None, value: str | None, aux: int) -> None:
    """Set one parameter of it, or create it; see fsconfig(2)."""
    arguments = (key and os.fsencode(key), value and os.fsencode(value))
    _check(_libc.syscall(NR_FSCONFIG, fd, command, *arguments, aux), f"fsconfig {key or 'create'}")


def fsmount(fd: int, flags: int, attributes: int) -> int:
    """Return a descriptor of its mount, which is nowhere yet; see fsmount(2)."""
    return _check(_libc.syscall(NR_FSMOUNT, fd, flags, attributes), "fsmount")
