"""The nursery: a process parked in a container's cgroup that clones the container's processes.

Joining a cgroup may take 14 ms on v1 (see linux/cgroup/v1.py), so it is done ahead, by a process
that then clones init and later execs with CLONE_PARENT: born in the cgroup, children of the shim.
v2's CLONE_INTO_CGROUP would save this process there; one way for all three kinds of machine is
worth more than its 0.7 MB.

`Nursery` is the shim's handle, `_serve` the process. It also kills the container when the shim
dies unexpectedly, since nobody could then read its output or tell of its end.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import traceback

from .. import launch
from ..launch.syscalls import CLONE_NEWPID, close_range, setns
from ..linux.cgroup import Cgroup
from .protocol import Channel, Message

_SOCKET, _INIT = 3, 4
_LAST = 0x7FFFFFFF  # the kernel stops at the highest that is open


class Nursery:
    """A nursery as its shim sees it. `ask` sends a launch; the reply comes through `channel`."""

    def __init__(self, cgroup: Cgroup, init: int = -1) -> None:
        """Fork it. `init` is the pidfd of a container that has lost its nursery, else -1."""
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            _become(theirs.fileno(), init, cgroup)
        theirs.close()
        self.channel = Channel(ours)

    def ask(self, message: Message, fds: tuple[int, ...]) -> None:
        """Have a process cloned. Replies, in order, are {"pid"} or {"error", "step", "exit"}."""
        self.channel.send(message, fds)

    def end(self) -> None:
        """Kill it, and wait until it has left its cgroup."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.channel.close()


def _become(sock: int, init: int, cgroup: Cgroup) -> None:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        cgroup.attach(os.getpid())
        high = fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 16)
        if init >= 0:
            setns(init, CLONE_NEWPID)  # of those that it will clone
            os.dup2(init, _INIT, inheritable=False)
        os.dup2(high, _SOCKET, inheritable=False)
        close_range(_SOCKET + 1 + (init >= 0), _LAST)
        _Server(cgroup, _INIT if init >= 0 else -1).serve()
    except BaseException:
        traceback.print_exc()  # for the engine's log; a forked child must not return
    finally:
        os._exit(1)


class _Server:
    """The loop of the nursery's own process."""

    def __init__(self, cgroup: Cgroup, init: int) -> None:
        self._channel = Channel(socket.socket(fileno=_SOCKET), blocking=True)
        self._cgroup = cgroup
        self._init = init

    def serve(self) -> None:
        """Clone what the shim asks for until the shim dies."""
        while (received := self._channel.receive()) is not None:
            for message, fds in received:
                self._channel.send(self._answer(message, fds))
                for fd in fds:
                    os.close(fd)
        self._kill_all()

    def _answer(self, message: Message, fds: list[int]) -> Message:
        try:
            pid = _clone(message, fds)
        except (OSError, ValueError, KeyError) as error:
            return {"error": f"cannot clone a process: {error!r}", "step": "clone", "exit": 125}
        if self._init < 0:
            self._init = os.pidfd_open(pid)
        return {"pid": pid}

    def _kill_all(self) -> None:
        if self._init >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
        # Those of a container that shares the host's process ids did not end with its first one.
        # `Cgroup.kill` would freeze this process too.
        while others := [pid for pid in self._cgroup.pids() if pid != os.getpid()]:
            for pid in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.sched_yield()


def _clone(message: Message, fds: list[int]) -> int:
    """Clone what the message asks for; its descriptors are status[, pidfd of init][, streams]."""
    bundle = json.loads(message["bundle"])
    with socket.socket(fileno=os.dup(fds[0])) as status:
        if message["do"] == "init":
            return launch.clone_init(bundle, _streams(fds[1:]), status)
        return launch.clone_exec(bundle, fds[1], _streams(fds[2:]), status)


def _streams(fds: list[int]) -> tuple[int, int, int] | None:
    return (fds[0], fds[1], fds[2]) if fds else None
