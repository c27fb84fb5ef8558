"""Where a container's processes are born: in its cgroup, as children of its shim.

Joining a cgroup may take 14 ms on v1 (see linux/cgroup/v1.py), so it is done ahead of need, and by
a *thread* of the shim alone: what a thread clones is born in the thread's cgroup, while memory is
charged to, and processes are killed in, the cgroup of a process's first thread, so that the shim
itself never counts against its container. v2 knows no such thread, and needs none: there clone3
takes the cgroup. Without cgroups there is nothing to join.

The container's first process is cloned ahead too, into namespaces of its own (1 ms). It waits for
its bundle on the socket that becomes its status socket, so that a start is one message to it.
"""

import _thread
import ctypes
import json
import os
import signal
import socket
import sys
from _socket import socketpair
from contextlib import suppress

from .. import launch
from ..launch.syscalls import CLONE_NEWPID, clone, setns
from ..linux.cgroup import Cgroup
from ..linux.channel import received_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import SocketType
    from typing import Any, NoReturn

    Body = Callable[[], None]

ALL_KINDS = frozenset(launch.NAMESPACES)
CLONE_INTO_CGROUP = 0x200000000
SYS_CLONE = {"x86_64": 56}.get(os.uname().machine, 220)
SYS_CLONE3 = 435
NO_ASKING = 86_400.0
"""Seconds that a thread waits for the interpreter before it asks the other one to let go."""
# Unlike a CDLL this one is called with the interpreter locked, so that a copy of the process is
# made while no other thread runs. Made once: each makes a class, and a shim counts its pages.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_LAST = 1 << 20  # past every descriptor; the kernel closes a range at once
_MOST_FDS = socket.CMSG_SPACE(6 * ctypes.sizeof(ctypes.c_int))
_WITH_OWNER = b"o"  # the last two descriptors are those of a user namespace


class Nursery:
    """Clones processes where there are no cgroups; `clone` runs `body` in the child."""

    members = 0
    """How many of the cgroup's processes are the nursery's own."""

    def clone(self, body: "Body", flags: int = 0) -> int:
        """Return the pid of a child; CLONE_NEW… flags give it namespaces of its own."""
        return self._do(lambda: self._clone(flags, body))

    def enter(self, init: int) -> None:
        """Have what is cloned from now on born in the pid namespace of this pidfd's process."""
        self._do(lambda: _enter_pid_namespace(init))

    def _do(self, job: "Callable[[], int]") -> int:
        return job()

    def _clone(self, flags: int, body: "Body") -> int:
        pid = clone(flags)
        if pid == 0:
            _end_with(body)
        return pid

    def close(self) -> None:
        """Leave the cgroup."""


class CgroupNursery(Nursery):
    """Clones into a cgroup v2, whose folder is open."""

    def __init__(self, cgroup: int) -> None:
        self._cgroup = cgroup

    def _clone(self, flags: int, body: "Body") -> int:
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size,
        # tls, set_tid, set_tid_size, cgroup.
        flags |= CLONE_INTO_CGROUP
        words = (flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, self._cgroup)
        arguments = (ctypes.c_uint64 * len(words))(*words)
        size = ctypes.c_size_t(ctypes.sizeof(arguments))
        pid = _checked(_syscall(ctypes.c_long(SYS_CLONE3), arguments, size))
        if pid == 0:
            _end_with(body)
        return pid


class ThreadNursery(Nursery):
    """Clones from a thread that sits in a cgroup v1.

    The other thread always waits while this one works, so no lock is held in the copy. Python
    is told of the clone as of a fork, so that it takes the one thread of the copy for its main one.
    """

    members = 1

    def __init__(self, cgroup: Cgroup) -> None:
        # On a busy machine the other thread may still wait for the interpreter, and would ask for
        # it after 5 ms. A copy that is made then grants the wish, and waits for ever for a thread
        # that it has not. Both threads give the interpreter up by themselves, so nobody need ask.
        sys.setswitchinterval(NO_ASKING)
        self._cgroup = cgroup
        self._job: Callable[[], int] | None = None
        self._result: int | OSError = 0
        self._asked, self._answered = _thread.allocate_lock(), _thread.allocate_lock()
        self._asked.acquire()
        self._answered.acquire()
        _thread.start_new_thread(self._live, ())

    def join(self) -> None:
        """Move the thread to the cgroup; returns when it is there."""
        self._do(self._join)

    def _join(self) -> int:
        self._cgroup.attach_thread()
        return 0

    def close(self) -> None:
        """End the thread."""
        self._job = None
        self._asked.release()

    def _do(self, job: "Callable[[], int]") -> int:
        self._job = job
        self._asked.release()
        self._answered.acquire()
        if isinstance(self._result, OSError):
            raise self._result
        return self._result

    def _live(self) -> None:
        while True:
            self._asked.acquire()
            if self._job is None:
                return
            try:
                self._result = self._job()
            except OSError as error:
                self._result = error
            self._answered.release()

    def _clone(self, flags: int, body: "Body") -> int:
        ctypes.pythonapi.PyOS_BeforeFork()
        flags |= signal.SIGCHLD
        pid: int = _syscall(ctypes.c_long(SYS_CLONE), ctypes.c_ulong(flags), 0, 0, 0, 0)
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            _end_with(body)
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        return _checked(pid)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def open_nursery(mode: str, cgroup: Cgroup) -> Nursery:
    """Return the nursery of a cgroup; `mode` is the hierarchy's."""
    if mode == "v1":
        thread = ThreadNursery(cgroup)
        thread.join()
        return thread
    return CgroupNursery(cgroup.fd) if mode == "v2" else Nursery()


class ParkedInit:
    """A container's first process, cloned ahead of its start; `kinds` are its new namespaces.

    `status` is the socket on which it waits, and which later tells how its launch went. Its mounts
    are held: their end, for which the disk must have what was written, does not delay its own.
    """

    def __init__(self, nursery: Nursery, kinds: "frozenset[str]") -> None:
        self.kinds = kinds
        self.status, theirs = socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.status.setblocking(False)
        flags = launch.cloned_into(kinds)
        self.pid = nursery.clone(lambda: _wait_for_bundle(theirs), flags)
        theirs.close()
        self._mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def start(self, bundle: str, streams: "Sequence[int]", owner: "Sequence[int]" = ()) -> None:
        """Give it its bundle, its streams and its user namespace; all may be closed afterwards."""
        memory = os.memfd_create("bundle")
        os.write(memory, bundle.encode())
        _send_fds(self.status, [memory, *streams, *owner], _WITH_OWNER if owner else b"x")
        os.close(memory)

    def end(self) -> None:
        """Have it leave; it may have ended, and been collected, before."""
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.status.close()
        self.let_go()

    def let_go(self) -> None:
        """Unmount what it had mounted; waits for the disk."""
        os.close(self._mounts)


def clone_exec(
    nursery: Nursery, bundle: str, init: int, streams: "Sequence[int]"
) -> "tuple[int, SocketType]":
    """Clone one more process of the container whose first one the pidfd `init` names."""
    ours, theirs = socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)

    def body() -> None:
        launch.become_exec(json.loads(bundle), init, _three(streams), _python_socket(theirs))

    try:
        return nursery.clone(body), ours
    finally:
        theirs.close()


def _send_fds(sock: "SocketType", fds: list[int], data: bytes) -> None:
    import array

    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def _wait_for_bundle(status: "SocketType") -> None:
    """Be the container's first process, from being cloned ahead to its exec."""
    # What is open in the shim must not stay open because of a process that only waits.
    os.closerange(3, status.fileno())
    os.closerange(status.fileno() + 1, _LAST)
    data, ancillary, _, _ = status.recvmsg(1, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        os._exit(0)  # nobody wants this container any more
    memory, *streams = received_fds(ancillary)
    owner = (streams.pop(-2), streams.pop(-1)) if data == _WITH_OWNER else ()
    launch.become_init(_read(memory), _three(streams), _python_socket(status), owner)


def _enter_pid_namespace(init: int) -> int:
    setns(init, CLONE_NEWPID)
    return 0


def _end_with(body: "Body") -> "NoReturn":
    """Run the body of a cloned child, which ends in exec; it must never return."""
    try:
        body()
    except BaseException:
        import traceback

        traceback.print_exc()  # for the engine's log; the launcher reports what is the user's
    finally:
        os._exit(1)


def _read(memory: int) -> "dict[str, Any]":
    bundle: dict[str, Any] = json.loads(os.pread(memory, os.fstat(memory).st_size, 0))
    return bundle


def _three(streams: "Sequence[int]") -> tuple[int, int, int] | None:
    return (streams[0], streams[1], streams[2]) if streams else None


def _python_socket(sock: "SocketType") -> socket.socket:
    return socket.socket(fileno=sock.detach())
