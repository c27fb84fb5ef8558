"""The nursery: a process parked in a container's cgroup, where the container's processes are born.

Joining a cgroup may take 14 ms on v1 (see linux/cgroup/v1.py), so it is done ahead, by a process
that then clones others with CLONE_PARENT: born in the cgroup, children of the shim. The container's
first process is cloned ahead too, into namespaces of its own (1.2 ms); it waits for its bundle on
the socket that will be its status socket. So a start is one message from the shim to that process.

v2's CLONE_INTO_CGROUP would save the nursery there; one way for all machines is worth more than
its third of a megabyte. To keep it that small the nursery itself does next to nothing: what it
writes to, a list's length or an object's count of references, is a page no longer shared with the
other shims. Bundles are read by the process that they are for, from a memfd.

`Nursery` is the shim's handle. The nursery kills the container when the shim dies unexpectedly,
since nobody could then read its output or tell of its end.
"""

import array
import contextlib
import json
import os
import signal
import socket
from _socket import socketpair
from socket import SocketType

from .. import launch
from ..launch.syscalls import (
    CLONE_NEWPID,
    CLONE_PARENT,
    clone,
    setns,
)
from ..linux.cgroup import Cgroup
from .protocol import received_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn, TypeVar

    T = TypeVar("T")

ALL_KINDS = ("mount", "pid", "network", "ipc", "uts", "cgroup")
_MOST_FDS = socket.CMSG_SPACE(8 * 4)
_LAST = 1 << 20  # past every descriptor; the kernel closes a range at once


class Nursery:
    """A nursery as its shim sees it; `kinds` are the namespaces that are new for the first process.

    `status` is the socket of the first process. Where the container is running already and only
    lost its nursery, `init` is the pidfd of that first process. The nursery answers with `hear`:
    the pid of the first process, then that of each `exec`.
    """

    def __init__(self, cgroup: Cgroup, kinds: "Iterable[str]" = ALL_KINDS, init: int = -1) -> None:
        self.sock, control = socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.status, status = socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _become(cgroup, control, status, init)
        control.close()
        status.close()
        self.sock.setblocking(False)
        self.status.setblocking(False)
        self._flags = sum(launch.NAMESPACES[kind] for kind in kinds)

    def open(self, cgroup: Cgroup) -> None:
        """Move it to its cgroup, where it clones the first process."""
        cgroup.attach(self.pid)
        self.sock.send(b"%d" % self._flags)

    def start(self, bundle: str, streams: "Sequence[int]") -> None:
        """Give the first process its bundle and its streams."""
        _send(self.status, (_in_memory(bundle), *streams))

    def exec(self, bundle: str, status: int, init: int, streams: "Sequence[int]") -> None:
        """Have one more process cloned."""
        _send(self.sock, (_in_memory(bundle), status, init, *streams))

    def hear(self) -> "int | str | None":
        """Return the pid of what was cloned, or why that failed; None when the nursery is dead."""
        try:
            said = self.sock.recv(4096)
        except OSError:
            said = b""  # killed with a request unread
        return int(said) if said.isdigit() else said.decode() or None

    def end(self) -> None:
        """Kill it and wait until it has left its cgroup; a first process that waits leaves too."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.sock.close()
        self.status.close()


def _in_memory(bundle: str) -> int:
    fd = os.memfd_create("bundle")
    os.write(fd, bundle.encode())
    return fd


def _send(sock: SocketType, fds: "Sequence[int]") -> None:
    try:
        sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    finally:
        os.close(fds[0])


def _become(cgroup: Cgroup, control: SocketType, status: SocketType, init: int) -> None:
    """Be the nursery, in a child of the shim."""
    try:
        kept = [control.fileno(), status.fileno(), _LAST] + [init] * (init >= 0)
        first = 3
        for fd in sorted(kept):
            if first < fd:
                os.closerange(first, fd)
            first = fd + 1
        flags = int(control.recv(16))
        if init < 0:
            init = _clone_init(control, status, flags)
        elif flags & CLONE_NEWPID:
            setns(init, CLONE_NEWPID)  # of those that it will clone
        status.close()
        _serve(control)
        _kill_all(cgroup, init)
    except BaseException:
        import traceback

        traceback.print_exc()  # for the engine's log; a forked child must not return
    finally:
        os._exit(1)


def _clone_init(control: SocketType, status: SocketType, flags: int) -> int:
    pid = launch.clone_ahead(flags)
    if pid == 0:
        _run(status.fileno(), _wait_for_bundle, status)
    pidfd = os.pidfd_open(pid)
    control.send(b"%d" % pid)
    return pidfd


def _serve(control: SocketType) -> None:
    """Clone a process for each packet until the shim dies."""
    while True:
        data, ancillary, _, _ = control.recvmsg(1, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return
        fds = received_fds(ancillary)
        try:
            pid = clone(CLONE_PARENT)
        except OSError as error:
            control.send(f"cannot clone a process: {error.strerror}".encode())
        else:
            if pid == 0:
                _run(fds[1], _exec, fds)
            control.send(b"%d" % pid)
        for fd in fds:
            os.close(fd)


def _kill_all(cgroup: Cgroup, init: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(init, signal.SIGKILL)
    # Those of a container that shares the host's process ids did not end with its first one.
    # `Cgroup.kill` would freeze this process too.
    while others := [pid for pid in cgroup.pids() if pid != os.getpid()]:
        for pid in others:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.sched_yield()


def _run(status: int, function: "Callable[[T], None]", argument: "T") -> "NoReturn":
    """Call a function that ends in exec; what fails before the launcher takes over is reported."""
    try:
        function(argument)
    except BaseException as error:
        report = {"error": f"cannot launch: {error!r}", "step": "prepare", "exit": 125}
        os.write(status, json.dumps(report).encode())
    finally:
        os._exit(1)


def _wait_for_bundle(status: SocketType) -> None:
    """Be the container's first process, from being cloned ahead to its exec."""
    data, ancillary, _, _ = status.recvmsg(1, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        os._exit(0)  # nobody wants this container any more
    memory, *streams = received_fds(ancillary)
    spec = _read(memory)
    launch.become_init(spec, _three(streams), socket.socket(fileno=status.detach()))


def _exec(fds: list[int]) -> None:
    memory, status, init, *streams = fds
    process = _read(memory)
    launch.become_exec(process, init, _three(streams), socket.socket(fileno=status))


def _read(memory: int) -> "dict[str, Any]":
    with open(memory, "rb", buffering=0) as file:
        file.seek(0)
        bundle: dict[str, Any] = json.loads(file.read())
    return bundle


def _three(streams: list[int]) -> tuple[int, int, int] | None:
    return (streams[0], streams[1], streams[2]) if streams else None
