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
import time

from ..launch import OWNED
from ..launch.syscalls import PR_SET_CHILD_SUBREAPER, prctl
from ..linux.cgroup import Hierarchy
from ..linux.channel import ProtocolError, from_json
from ..linux.loop import IN, Loop
from .endpoint import Endpoint
from .exit import write_exit
from .logwriter import Writer, open_writer
from .nursery import ALL_KINDS, Nursery, ParkedInit, clone_exec, open_nursery
from .process import KILLED, Process
from .streams import Streams
from .userpin import UserPin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import SocketType

    from ..linux.channel import Message
    from ..linux.connection import Answer
    from .foreign import ForeignInit

EAGAIN = 11  # what clone says at the limit of processes; `errno` is a module more in every shim
KILL_SECONDS = 1
KEPT_EXITS = 64  # ends of execs that a later engine can still ask for


class Shim:
    """One container's shim, parked in `folder` until an engine wants a container.

    `name` is its cgroup's, which it makes; `engine` is the socket of the engine that it is parked
    for. With `apart` it makes a user namespace ahead too, as the last container wanted one.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        name: str,
        folder: str,
        engine: socket.socket,
        *,
        apart: bool,
    ) -> None:
        self._cgroup = hierarchy.create(name)
        self._loop = Loop()
        self._streams = Streams(self._loop, Writer(), lambda: self._tell({"event": "detach"}))
        self._execs: dict[str, Process] = {}
        self._exits: dict[str, tuple[int, int]] = {}  # codes and signals
        self._lingering: list[Streams] = [self._streams]
        self._state_dir = ""
        self._run = os.path.dirname(os.path.dirname(folder))
        self._left = False
        self._nursery = open_nursery(hierarchy.mode, self._cgroup)
        self._park(ALL_KINDS)
        self._pin = UserPin(self._nursery, OWNED) if apart else None
        self._watch_children()
        self._endpoint = Endpoint(self._loop, folder, self._handle, self._deserted)
        self._tell = self._endpoint.tell
        self._endpoint.connect(engine)

    def _park(self, kinds: frozenset[str]) -> None:
        """Clone a first process that waits for its bundle."""
        self._parked: ParkedInit | ForeignInit = ParkedInit(self._nursery, kinds)
        self._foreign: ForeignInit | None = None
        self._init = Process(self._streams, self._ended)
        self._init.take(self._parked.pid, self._parked.status)
        self._kinds = kinds
        self._entered = "pid" not in kinds  # whether execs are born in its pid namespace

    def open_network(self) -> int:
        """Open the network namespace of the parked process, for the engine to furnish."""
        return os.open(f"/proc/{self._init.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def _hand_over(self, runtime: str, container: str) -> None:
        """Have another runtime make the container, in the cgroup that the nursery has left."""
        from .foreign import ForeignInit

        self._parked.end()
        self._nursery.close()
        self._nursery = Nursery()
        self._init = Process(self._streams, self._ended)
        self._foreign = ForeignInit(runtime, self._run, container, self._cgroup, self._take_caller)
        self._parked = self._foreign

    def _take_caller(self, pid: int, status: "SocketType") -> None:
        self._init.take(pid, status, helper=True)

    def run(self) -> None:
        """Serve until the container has ended, and its clients have read everything."""
        while not self._left or any(streams.clients for streams in self._lingering):
            self._loop.turn()

    def _deserted(self) -> None:
        for streams in (self._streams, *(process.streams for process in self._execs.values())):
            streams.end_watch()
        if not self._init.begun:
            self._leave()  # nobody is left who could start it
        elif not self._is_paused():
            # An engine that was killed over a checkpoint or a commit has left the container frozen.
            with contextlib.suppress(OSError):  # where there is no freezer nothing is frozen
                self._cgroup.freeze(False)

    def _is_paused(self) -> bool:
        """Tell whether a person holds the container still, as the engine has written down first."""
        try:
            with open(f"{self._state_dir}/state.json", "rb") as file:
                state = from_json(file.read())
        except (OSError, ProtocolError):  # none was written yet, or by a power cut nothing of it
            return False
        return bool(state["paused"]) and state["started_at"] == self._init.started_at

    def _handle(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        {
            "adopt": self._adopt,
            "pin": self._make_pin,
            "start": self._start,
            "attach": self._attach,
            "exec": self._exec,
            "resize": self._resize,
            "limit": self._limit,
            "watch": self._watch,
            "signal": self._signal,
            "status": self._status,
        }[message["do"]](message, fds, answer)

    def _adopt(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        self._endpoint.move(message["dir"])

    def _make_pin(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        """Make the user namespace that a start will ask for, and say where its network is."""
        kinds = frozenset(message["namespaces"]) & OWNED
        if self._pin is not None and self._pin.kinds != kinds:
            self._pin.let_go()
            self._pin = None
        self._pin = self._pin or UserPin(self._nursery, kinds)
        answer({"pid": self._pin.pid})

    def _start(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        if self._init.begun:
            answer({"error": "the container was started already"})
            return
        asked = time.monotonic_ns()
        kinds = frozenset(message["namespaces"])
        pin = self._pin_for(kinds & OWNED, message["ids"])
        if message["runtime"]:
            self._hand_over(message["runtime"], os.path.basename(message["state_dir"]))
        if not self._foreign and kinds != self._kinds:
            self._parked.end()
            if path := message["pid_namespace"]:
                self._join(path)
            self._park(kinds)
        if "pid" not in kinds or self._foreign:
            # Its orphans would go to the host's first process, and their exits be nobody's.
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        init, self._state_dir = self._init, message["state_dir"]
        streams: list[int] = []
        times = init.times = {"asked": asked, "ready": time.monotonic_ns()}
        try:
            streams = init.begin(message["stdio"])
            times["piped"] = time.monotonic_ns()
            if message["resources"]:
                self._cgroup.limit(self._with_nursery(message["resources"]))
            times["limited"] = time.monotonic_ns()
            log = message["log"]
            self._streams.log = open_writer(log["driver"], log["path"], log["options"])
            self._parked.start(message["spec"], streams, pin.fds if pin else ())
            times["handed"] = time.monotonic_ns()
        except BrokenPipeError:
            init.fail(KILLED)
        except (OSError, ValueError) as error:
            init.fail(str(error))
        _close(streams)
        init.follow(lambda reply: self._started(reply, answer, pin))

    def _pin_for(self, kinds: frozenset[str], ids: "dict[str, int] | None") -> UserPin | None:
        """Return the user namespace with these ids, and let go one that does not fit.

        The parked process leaves those of its own namespaces, which costs less than another.
        """
        pin, self._pin = self._pin, None
        if pin is not None and (not ids or pin.kinds != kinds):
            pin.let_go()
            pin = None
        if ids:
            pin = pin or UserPin(self._nursery, kinds)
            pin.give(ids)
        return pin

    def _join(self, path: str) -> None:
        """Have all that is cloned from now on born in another container's pid namespace."""
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._nursery.enter(namespace)
        os.close(namespace)

    def _limit(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        """Bind other limits to the container."""
        try:
            self._cgroup.limit(self._with_nursery(message["resources"]))
        except OSError as error:
            answer({"error": str(error), "refused": True})
        else:
            answer({})

    def _with_nursery(self, resources: "Message") -> "Message":
        """Allow as many processes more than were asked for as the nursery has in the cgroup."""
        limit = (resources.get("pids") or {}).get("limit", 0)
        more = self._nursery.members
        return {**resources, "pids": {"limit": limit + more}} if limit > 0 and more else resources

    def _started(self, reply: "Message", answer: "Answer", pin: UserPin | None) -> None:
        if pin is not None:
            pin.let_go()
        answer({**reply, "cgroup": self._cgroup.name})

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
        if message["watch"]:
            self._begin_watch(name, streams)

        def launched(reply: "Message") -> None:
            if "error" in reply and message["attach"]:
                # The engine has answered 101, so this is the only way to reach the client.
                streams.emit(1, (message["failure"] % reply["error"]).encode())
            answer(reply)

        if not self._init.running:
            launched({"error": "the container is not running", "step": "clone", "exit": 126})
            self._finish(streams)
            return
        process = Process(streams, lambda ended: self._exec_ended(name, ended))
        theirs: list[int] = []
        try:
            theirs = process.begin(message["stdio"], silent=not message["attach"])
            cloned = self._clone_exec(message["process"], theirs, apart=message["traced"])
            process.take(*cloned, helper=message["traced"] or bool(self._foreign))
        except OSError as error:
            cure = "is the pids limit too low?" if error.errno == EAGAIN else "try again later"
            why = f"cannot clone a process: {error.strerror}; {cure}"
            launched({"error": why, "step": "clone", "exit": 126})
            streams.drain()
            self._finish(streams)
        else:
            self._execs[name] = process
            process.follow(launched)
        _close(theirs)

    def _clone_exec(
        self, process: str, streams: list[int], *, apart: bool
    ) -> "tuple[int, SocketType]":
        if self._foreign:
            return self._foreign.exec(process, self._init.pid, streams)
        if not apart:
            self._enter()
        return clone_exec(self._nursery, process, self._init.pidfd, streams)

    def _enter(self) -> None:
        """Have execs born in the container's pid namespace; not before it is known to be kept.

        There is no way back from it for who is not the machine's root.
        """
        if not self._entered:
            self._nursery.enter(self._init.pidfd)
            self._entered = True

    def _finish(self, streams: Streams) -> None:
        """Let the clients of an exec go once they have everything."""
        streams.finish()
        self._lingering = [streams for streams in self._lingering if streams.clients]
        if streams.clients:
            self._lingering.append(streams)

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

    def _watch(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        """Begin or end to tell whether an input is waited for; what is so already is told."""
        name = message["exec"]
        process = self._execs.get(name) if name else self._init
        if process is None:
            return  # it has ended, as was told
        if not message["on"]:
            process.streams.end_watch()
        elif process.streams.watch is None:
            self._begin_watch(name, process.streams)

    def _begin_watch(self, name: str | None, streams: Streams) -> None:
        from .watching import Watch

        def tell(message: "Message") -> None:
            self._tell({"event": "input", "exec": name, **message})

        streams.begin_watch(Watch(streams, self._cgroup.pids, tell))

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
                "times": {**self._init.times, "spoke": self._streams.spoke},
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
        """Take the exits of children, and of orphans that came to the subreaper."""
        while not self._left:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if not ended:
                return
            for process in self._execs.values():
                process.hear_helper()
            pid, status = os.waitpid(ended.si_pid, 0)
            for process in (self._init, *self._execs.values()):
                if process.pid == pid:
                    process.reaped(status)
                    break

    def _ended(self, process: Process) -> None:
        """End with the container's first process: log, exit.json, event, clients, the rest."""
        process.streams.drain()
        process.streams.log.close()
        if not process.error:
            oom = self._cgroup.oom_kills() > 0
            peak = self._cgroup.usage().get("memory_peak", 0) if oom else 0
            self._tell(write_exit(self._state_dir, process, oom, peak))
        process.streams.finish()
        self._parked.let_go()
        self._end_rest()

    def _end_rest(self) -> None:
        """Kill what a pid namespace of its own would have ended already, then leave."""
        # Not by `Cgroup.kill`, which would not spare this process for its nursery's sake.
        deadline = time.monotonic() + KILL_SECONDS
        while others := [pid for pid in self._cgroup.pids() if pid != os.getpid()]:
            for pid in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                break  # one that the kernel holds; its cgroup stays until it ends
            os.sched_yield()
        for process in self._execs.values():
            if process.running:
                process.kill(signal.SIGKILL)
        if not self._execs:
            self._leave()

    def _exec_ended(self, name: str, process: Process) -> None:
        process.streams.drain()
        if process.code is not None and not process.error:
            self._exits[name] = process.code, process.signal
            if len(self._exits) > KEPT_EXITS:
                del self._exits[next(iter(self._exits))]
            # Before its client sees the end, and asks the engine for the code.
            told = {"exec": name, "code": process.code, "signal": process.signal}
            self._tell({"event": "exec-exit", **told})
        self._finish(process.streams)
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
            self._parked.end()
        self._endpoint.close()
        self._nursery.close()
        self._cgroup.remove()


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
