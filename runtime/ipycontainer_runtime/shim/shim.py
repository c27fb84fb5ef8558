"""The shim: one process per container, parent of its processes, owner of their streams and log.

It is forked ahead by the spawner and waits until the engine wants a container. From then on it
needs nobody: engines come and go on `shim.sock` in its folder; when the container's first process
ends it writes exit.json, tells whoever listens, removes the cgroup and leaves.
"""

import _signal  # type: ignore[import-not-found]  # without the enumerations of `signal`: 130 KB of pages
import contextlib
import os
import signal
import socket
from collections import deque

from ..launch.syscalls import prctl
from ..linux.cgroup import Hierarchy
from .connection import Connection
from .exit import write_exit
from .logwriter import Writer, open_writer
from .loop import IN, Loop
from .nursery import ALL_KINDS, Nursery
from .process import KILLED, Process
from .protocol import SOCKET_NAME
from .streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Answer
    from .protocol import Message

PR_SET_CHILD_SUBREAPER = 36
KEPT_EXITS = 64  # codes of ended execs that a later engine can still ask for


class Shim:
    """One container's shim; `on_started` is called once, when its start has come to an end."""

    def __init__(self, hierarchy: Hierarchy, name: str, on_started: "Callable[[], None]") -> None:
        # Forked first of all, since it should share as many pages as can be with the others.
        nursery = Nursery(hierarchy.open(name))
        self._cgroup = hierarchy.create(name)
        self._on_started = on_started
        self._loop = Loop()
        self._streams = Streams(self._loop, Writer(), lambda: self._tell({"event": "detach"}))
        self._launches: deque[Process] = deque()
        self._nursery: Nursery | None = None
        self._kinds = frozenset(ALL_KINDS)
        self._init = self._take(nursery)
        self._execs: dict[str, Process] = {}
        self._exits: dict[str, int] = {}
        self._lingering: list[Streams] = [self._streams]
        self._connections: list[Connection] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._folder = ""
        self._state_dir = ""
        self._left = False

    def _take(self, nursery: Nursery) -> Process:
        """Take a nursery, and return the first process that it has cloned."""
        nursery.open(self._cgroup)
        self._watch_nursery(nursery)
        init = Process(self._streams, nursery.status, self._ended)
        self._launches.append(init)
        return init

    def run(self, folder: str, engine: socket.socket) -> None:
        """Serve from being parked, in a folder to be made, until the container has ended."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._watch_children()
        self._listen(folder)
        self._connect(engine)
        while not self._left or any(streams.clients for streams in self._lingering):
            self._loop.turn()

    def _listen(self, folder: str) -> None:
        self._folder = folder
        os.mkdir(folder, 0o700)
        fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        # The path itself may be longer than the 108 bytes of an address.
        self._listener.bind(f"/proc/self/fd/{fd}/{SOCKET_NAME}")
        os.close(fd)
        self._listener.listen()
        self._loop.watch(self._listener.fileno(), IN, self._accept)

    def _adopt(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        """Move to the container's folder; a bound socket stays bound when it is renamed."""
        folder = message["dir"]
        try:
            os.rename(self._folder, folder)
        except OSError:
            remove_folder(folder)  # left there by a shim that was killed
            os.rename(self._folder, folder)
        self._folder = folder

    def _accept(self, events: int) -> None:
        sock, _ = self._listener.accept()
        self._connect(sock)

    def _connect(self, sock: socket.socket) -> None:
        self._connections.append(
            Connection(self._loop, sock, self._handle, self._connection_closed)
        )

    def _connection_closed(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._init.begun and not self._connections:
            self._leave()  # nobody is left who could start it

    def _tell(self, event: "Message") -> None:
        for connection in self._connections[:]:
            connection.send(event)

    def _handle(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        {
            "adopt": self._adopt,
            "start": self._start,
            "attach": self._attach,
            "exec": self._exec,
            "resize": self._resize,
            "signal": self._signal,
            "status": self._status,
        }[message["do"]](message, fds, answer)

    def _start(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        if self._init.begun:
            answer({"error": "the container was started already"})
            return
        kinds = frozenset(message["namespaces"])
        if self._nursery is None or self._kinds != kinds:
            self._replace_nursery(kinds)
        init = self._init
        streams = init.begin(message["stdio"], lambda reply: self._started(reply, answer))
        self._state_dir = message["state_dir"]
        try:
            if message["resources"]:
                self._cgroup.limit(_with_nursery(message["resources"]))
            log = message["log"]
            self._streams.log = open_writer(log["driver"], log["path"], log["options"])
            self._living_nursery().start(message["spec"], streams)
        except BrokenPipeError:
            init.failed(KILLED, "prepare")
        except (OSError, ValueError) as error:
            init.failed(str(error), "prepare")
        _close(streams)
        init.watch()

    def _replace_nursery(self, kinds: frozenset[str]) -> None:
        """The one that was parked has cloned into namespaces that this container does not want."""
        self._lose_nursery()
        self._kinds = kinds
        self._init = self._take(Nursery(self._cgroup, kinds))

    def _started(self, reply: "Message", answer: "Answer") -> None:
        answer({**reply, "cgroup": self._cgroup.name})
        self._settle()

    def _settle(self) -> None:
        on_started, self._on_started = self._on_started, _nothing
        on_started()

    def _living_nursery(self) -> Nursery:
        if self._nursery is not None:
            return self._nursery
        nursery = Nursery(self._cgroup, sorted(self._kinds), self._init.pidfd)
        nursery.status.close()
        nursery.open(self._cgroup)
        self._watch_nursery(nursery)
        return nursery

    def _attach(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        self._streams.attach(fds.pop(), message)
        answer({})

    def _exec(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        name = message["exec"]
        streams = Streams(
            self._loop, Writer(), lambda: self._tell({"event": "detach", "exec": name})
        )
        if message["attach"]:
            streams.attach(fds.pop(), message["attach"])

        def launched(reply: "Message") -> None:
            if "error" in reply and message["attach"]:
                # The engine has answered 101, so this is the only way to reach the client.
                streams.emit(1, (message["failure"] % reply["error"]).encode())
            answer(reply)

        ours, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = Process(streams, ours, lambda ended: self._exec_ended(name, ended))
        self._execs[name] = process
        theirs = process.begin(message["stdio"], launched, silent=not message["attach"])
        if self._init.running:
            self._launches.append(process)
            try:
                self._living_nursery().exec(
                    message["process"], status.fileno(), self._init.pidfd, theirs
                )
            except OSError:
                self._lose_nursery()
        else:
            process.failed("the container is not running", "exec", 126)
        status.close()
        _close(theirs)
        process.watch()

    def _find(self, name: str | None) -> Process | None:
        process = self._init if name is None else self._execs.get(name)
        return process if process and process.running else None

    def _resize(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        name = message["exec"]
        process = self._execs.get(name) if name else None
        streams = process.streams if process else self._streams
        if name and not process:
            answer({"error": f"exec {name} is not running", "missing": True})
            return
        streams.resize(message["width"], message["height"])
        answer({})

    def _signal(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        process = self._find(message["exec"])
        if process is None:
            answer({"error": "the process is not running", "missing": True})
            return
        process.kill(message["signal"])
        answer({})

    def _status(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        init = self._find(None)
        running = dict.fromkeys(self._execs, None)
        answer(
            {
                "pid": init.pid if init else 0,
                "started_at": init.started_at if init else "",
                "execs": {**self._exits, **running},
                "clients": self._streams.clients,
                "cgroup": self._cgroup.name,
            }
        )

    def _watch_children(self) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.signal(signal.SIGCHLD, lambda number, frame: None)
        _signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def on_signal(events: int) -> None:
            os.read(reading, 4096)
            self._reap()

        self._loop.watch(reading, IN, on_signal)

    def _reap(self) -> None:
        """Take the exits of children; one that is not known yet is left until it is."""
        while not self._left:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            processes = [self._init, *self._execs.values()]
            process = next((p for p in processes if p.pid == ended.si_pid), None)
            if process is not None:
                process.reap()
            elif self._nursery is not None and ended.si_pid == self._nursery.pid:
                self._lose_nursery()
            elif self._launches:
                return
            else:
                os.waitpid(ended.si_pid, 0)  # an orphan of the container, left to the subreaper

    def _watch_nursery(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._loop.watch(nursery.sock.fileno(), IN, self._hear_nursery)

    def _hear_nursery(self, events: int) -> None:
        said = self._nursery.hear() if self._nursery else None
        if said is None:
            self._lose_nursery()
        elif isinstance(said, int):
            self._launches.popleft().named(said)
            self._reap()  # it may have ended before it was known
        else:
            self._launches.popleft().failed(said, "clone")

    def _lose_nursery(self) -> None:
        """The kernel may have killed it for want of memory; the next exec makes another."""
        if self._nursery is None:
            return
        self._loop.forget(self._nursery.sock.fileno())
        self._nursery.end()
        self._nursery = None
        while self._launches:
            self._launches.popleft().failed(KILLED, "clone")

    def _ended(self, process: Process) -> None:
        """End with the container's first process: log, exit.json, event, clients, the rest."""
        process.streams.drain()
        process.streams.log.close()
        if not process.error:
            oom = self._cgroup.oom_kills() > 0
            self._tell(write_exit(self._state_dir, process, oom))
        process.streams.finish()
        self._end_rest()

    def _end_rest(self) -> None:
        """Kill what a pid namespace of its own would have ended already, then leave."""
        own = self._nursery.pid if self._nursery else 0
        if any(pid != own for pid in self._cgroup.pids()):
            self._cgroup.kill()
        for process in self._execs.values():
            if process.running:
                process.kill(signal.SIGKILL)
        if not self._execs:
            self._leave()

    def _exec_ended(self, name: str, process: Process) -> None:
        process.streams.drain()
        if process.code is not None and not process.error:
            self._exits[name] = process.code
            if len(self._exits) > KEPT_EXITS:
                del self._exits[next(iter(self._exits))]
            # Before its client sees the end, and asks the engine for the code.
            self._tell({"event": "exec-exit", "exec": name, "code": process.code})
        process.streams.finish()
        self._lingering = [streams for streams in self._lingering if streams.clients]
        if process.streams.clients:
            self._lingering.append(process.streams)
        del self._execs[name]
        if self._init.ended and not self._execs:
            self._leave()

    def _leave(self) -> None:
        """Leave nothing behind; only clients that have not read everything hold the process."""
        if self._left:
            return
        self._left = True
        self._lingering.append(self._streams)
        if not self._init.begun:
            self._streams.finish()
        self._listener.close()
        remove_folder(self._folder)
        for connection in self._connections[:]:
            connection.close()
        self._settle()
        if self._nursery is not None:
            self._loop.forget(self._nursery.sock.fileno())
            self._nursery.end()
        self._cgroup.remove()


def remove_folder(folder: str) -> None:
    """Remove a shim's folder and its socket, if they are there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{SOCKET_NAME}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _nothing() -> None:
    """Do nothing more."""


def _with_nursery(resources: "Message") -> "Message":
    """Allow one process more than was asked for, since the nursery is counted."""
    limit = (resources.get("pids") or {}).get("limit", 0)
    return {**resources, "pids": {"limit": limit + 1}} if limit > 0 else resources
