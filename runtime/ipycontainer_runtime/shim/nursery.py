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

import contextlib
import fcntl
import json
import os
import signal
import socket

from .. import launch
from ..launch.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWPID,
    CLONE_PARENT,
    clone,
    close_range,
    setns,
    unshare,
)
from ..linux.cgroup import Cgroup
from .protocol import received_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn, TypeVar

    T = TypeVar("T")

ALL_KINDS = ("mount", "pid", "network", "ipc", "uts", "cgroup")
_CONTROL, _STATUS, _INIT = 3, 4, 5
_LAST = 0x7FFFFFFF  # the kernel stops at the highest that is open
_MOST_FDS = socket.CMSG_SPACE(8 * 4)


class Nursery:
    """A nursery as its shim sees it; `kinds` are the namespaces that are new for the first process.

    `status` is the first process's status socket, None when the container is running already and
    only lost its nursery: `init` is then the pidfd of that first process. The nursery answers with
    `hear`: first the pid of the first process, then one for each `exec`.
    """

    def __init__(self, cgroup: Cgroup, kinds: "Sequence[str]" = ALL_KINDS, init: int = -1) -> None:
        self.kinds = frozenset(kinds)
        self.sock, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _become(cgroup, control.fileno(), status.fileno(), init, self.kinds)
        control.close()
        status.close()
        self.sock.setblocking(False)
        self.status.setblocking(False)

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


def _send(sock: socket.socket, fds: "Sequence[int]") -> None:
    try:
        socket.send_fds(sock, [b"x"], fds)
    finally:
        os.close(fds[0])


def _become(cgroup: Cgroup, control: int, status: int, init: int, kinds: frozenset[str]) -> None:
    """Be the nursery, in a child of the shim."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16) for fd in (control, status)]
        if init >= 0:
            setns(init, CLONE_NEWPID)  # of those that it will clone
            os.dup2(init, _INIT, inheritable=False)
        for target, fd in zip((_CONTROL, _STATUS), fds, strict=True):
            os.dup2(fd, target, inheritable=False)
        close_range(_STATUS + 1 + (init >= 0), _LAST)
        cgroup.attach(os.getpid())
        sock = socket.socket(fileno=_CONTROL)
        if init < 0:
            _park_init(sock, kinds)
        os.close(_STATUS)
        _serve(sock)
        _kill_all(cgroup)
    except BaseException:
        import traceback

        traceback.print_exc()  # for the engine's log; a forked child must not return
    finally:
        os._exit(1)


def _park_init(sock: socket.socket, kinds: frozenset[str]) -> None:
    flags = sum(launch.NAMESPACES[kind] for kind in kinds)
    if flags & CLONE_NEWPID:
        # Unshared rather than cloned into, so that later execs are born in it as well.
        unshare(CLONE_NEWPID)
    # The cgroup namespace waits until all cgroups are joined.
    pid = clone(flags & ~(CLONE_NEWPID | CLONE_NEWCGROUP) | CLONE_PARENT)
    if pid == 0:
        _run(_STATUS, _wait_for_bundle, flags & CLONE_NEWCGROUP)
    os.dup2(fcntl.fcntl(os.pidfd_open(pid), fcntl.F_DUPFD_CLOEXEC, 16), _INIT, inheritable=False)
    close_range(_INIT + 1, _LAST)
    sock.send(b"%d" % pid)


def _serve(sock: socket.socket) -> None:
    """Clone a process for each packet until the shim dies."""
    while True:
        data, ancillary, _, _ = sock.recvmsg(1, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return
        fds = received_fds(ancillary)
        try:
            pid = clone(CLONE_PARENT)
        except OSError as error:
            sock.send(f"cannot clone a process: {error.strerror}".encode())
        else:
            if pid == 0:
                _run(fds[1], _exec, fds)
            sock.send(b"%d" % pid)
        for fd in fds:
            os.close(fd)


def _kill_all(cgroup: Cgroup) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(_INIT, signal.SIGKILL)
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


def _wait_for_bundle(unshared: int) -> None:
    """Be the container's first process, from being cloned ahead to its exec."""
    status = socket.socket(fileno=_STATUS)
    data, ancillary, _, _ = status.recvmsg(1, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        os._exit(0)  # nobody wants this container any more
    memory, *streams = received_fds(ancillary)
    spec = _read(memory)
    unshare(unshared)
    child = launch.Child(spec["process"], spec["ipycontainer"])
    child.run(lambda: child.init(spec), _three(streams), status)


def _exec(fds: list[int]) -> None:
    memory, status, init, *streams = fds
    process = _read(memory)
    child = launch.Child(process, process.get("ipycontainer", {}))
    child.run(child.exec, _three(streams), socket.socket(fileno=status), init)


def _read(memory: int) -> "dict[str, Any]":
    with open(memory, "rb", buffering=0) as file:
        file.seek(0)
        bundle: dict[str, Any] = json.loads(file.read())
    return bundle


def _three(streams: list[int]) -> tuple[int, int, int] | None:
    return (streams[0], streams[1], streams[2]) if streams else None
