"""Descriptors of another process, taken over so that a test can break what they are."""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

PIDFD_GETFD = 438  # the same number on every architecture
_syscall = ctypes.CDLL(None, use_errno=True).syscall


def sockets(pid: int) -> Iterator[socket.socket]:
    """Yield the sockets of process `pid`, each as a duplicate that is closed afterwards."""
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):  # it was closed meanwhile
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    with socket.socket(fileno=_taken(pidfd, int(name))) as found:
                        yield found
    finally:
        os.close(pidfd)


def _taken(pidfd: int, number: int) -> int:
    taken: int = _syscall(PIDFD_GETFD, pidfd, number, 0)
    if taken < 0:
        error = ctypes.get_errno()
        raise OSError(errno.ENOENT if error == errno.EBADF else error, os.strerror(error))
    return taken


def break_connections(pid: int, others: set[int]) -> int:
    """Shut the connections of process `pid` that one of `others` made or serves; return how many.

    As when a kernel that is short of memory drops one: both ends live, and read its end.
    """
    broken = 0
    for found in sockets(pid):
        if found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM:
            (peer,) = struct.unpack(
                "i8x", found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )
            if peer in others:
                found.shutdown(socket.SHUT_RDWR)
                broken += 1
    return broken
