"""The engine's side of the spawner and of each shim, in asyncio.

The engine asks `Spawner` for a shim, which answers at once: a parked process is handed one end of
a socket and the engine speaks to it through `ShimConnection`. A shim outlives the engine; a later
one finds it with `Spawner.reconnect`. Messages of one connection are handled in order, so an
`attach` sent before `start` misses nothing.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ..errors import NotFound, StartFailed, Unavailable
from ..launch import sealed
from ..paths import Paths
from .protocol import SOCKET_NAME, Channel, Message, ProtocolError, receive_packet

ATTEMPTS = 3  # a spawner or a parked shim that somebody killed is replaced
LEAVE_SECONDS = 5
SPAWNER = Path(__file__).with_name("spawner.py")


@dataclass(frozen=True, slots=True)
class Exited:
    """The container's first process ended and its exit.json is written.

    `code` is 128 + n after signal n; `at` and `started_at` are RFC 3339 with nanoseconds.
    """

    code: int
    signal: int
    at: str
    oom: bool
    started_at: str


@dataclass(frozen=True, slots=True)
class ExecExited:
    """An exec'd process ended."""

    exec: str
    code: int


@dataclass(frozen=True, slots=True)
class Detached:
    """A client of the container, or of the exec named, typed the detach keys."""

    exec: str | None


Event: TypeAlias = Exited | ExecExited | Detached
OnEvent: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What a client's connection is to carry.

    `framed` is Docker's multiplexing, wanted unless there is a tty. `detach_keys` is what
    `detach.parse` returns; `buffered` are the bytes that the client sent already. `logs` replays
    the log first and `stream` goes on with what comes.
    """

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    logs: bool = False
    stream: bool = True
    framed: bool = True
    detach_keys: bytes = b"\x10\x11"
    buffered: bytes = b""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Where and how output is logged; `options` are Docker's max-size and max-file."""

    driver: str
    path: Path
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A container to start: its bundle, its streams, its limits, and where exit.json goes.

    `stdin` keeps the container's input open (Docker's OpenStdin); `stdin_once` closes it when the
    first attached client ends its side. `resources` is `linux.resources` of the OCI spec.
    """

    spec: dict[str, Any]
    state_dir: Path
    log: LogOptions
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    resources: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A process to run in a container; without `attach` it runs detached, its output discarded."""

    id: str
    process: dict[str, Any]
    tty: bool = False
    stdin: bool = False
    attach: AttachOptions | None = None
    failure: str = "%s\r\n"
    """What an attached client reads when the process cannot be started; %s is the reason."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that has executed its command; `pid` is the host's number for it.

    `cgroup` is the name under which `linux.cgroup` opens the container's, "" for an exec.
    """

    pid: int
    started_at: str
    cgroup: str = ""


@dataclass(frozen=True, slots=True)
class ShimStatus:
    """What a shim knows. `execs` maps the id of an exec to its exit code, None while it runs."""

    pid: int
    started_at: str
    execs: dict[str, int | None]
    clients: int
    cgroup: str


class ShimConnection:
    """One connection of the engine to a shim. Made by `Spawner`; used from one event loop.

    `adopt` is the folder that a parked shim is to take for its own.

    `on_event` is called from the event loop. `closed` resolves when the shim is gone, or this
    connection is.
    """

    def __init__(self, sock: socket.socket, on_event: OnEvent, adopt: str | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(sock)
        self._on_event = on_event
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self._writing = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(sock.fileno(), self._read)
        if adopt is not None:
            self._send({"do": "adopt", "dir": adopt})

    async def start(self, request: StartRequest) -> Started:
        """Start the container; returns once its command is executed. Raises StartFailed."""
        stdio = {"tty": request.tty, "stdin": request.stdin, "stdin_once": request.stdin_once}
        log = {
            "driver": request.log.driver,
            "path": str(request.log.path),
            "options": request.log.options,
        }
        reply = await self._ask(
            {
                "do": "start",
                "spec": _text(request.spec),
                "namespaces": _new_namespaces(request.spec),
                "stdio": stdio,
                "log": log,
                "resources": request.resources,
                "state_dir": str(request.state_dir),
            }
        )
        return _started(reply)

    def attach(self, sock: socket.socket, options: AttachOptions) -> None:
        """Give a client's connection to the shim, and close it here. Before or after the start."""
        with sock:
            self._send({"do": "attach", **_attach_message(options)}, (sock.fileno(),))

    async def exec(self, request: ExecRequest, sock: socket.socket | None = None) -> Started:
        """Run one more process in the container. Raises StartFailed.

        With `request.attach`, `sock` is the client's connection; it is the shim's from now on.
        """
        message: Message = {
            "do": "exec",
            "exec": request.id,
            "process": _text(request.process),
            "stdio": {"tty": request.tty, "stdin": request.stdin, "stdin_once": True},
            "attach": _attach_message(request.attach) if request.attach else None,
            "failure": request.failure,
        }
        if sock is None:
            return _started(await self._ask(message))
        with sock:
            answer = self._ask(message, (sock.fileno(),))
        return _started(await answer)

    async def resize(self, width: int, height: int, exec_id: str | None = None) -> None:
        """Set a terminal's size in characters; before the start it is kept for it."""
        await self._ask({"do": "resize", "exec": exec_id, "width": width, "height": height})

    async def signal(self, number: int, exec_id: str | None = None) -> None:
        """Send a signal to the container's first process, or to an exec'd one. Raises NotFound."""
        await self._ask({"do": "signal", "exec": exec_id, "signal": number})

    async def status(self) -> ShimStatus:
        """Return what the shim knows; `pid` is 0 before the start."""
        reply = await self._ask({"do": "status"})
        return ShimStatus(
            reply["pid"], reply["started_at"], reply["execs"], reply["clients"], reply["cgroup"]
        )

    def close(self) -> None:
        """Drop this connection. A shim that has not started then leaves; any other stays."""
        if self.closed.done():
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self.closed.set_result(None)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Unavailable("the container's shim ended before it answered"))
        self._replies.clear()

    def _ask(self, message: Message, fds: tuple[int, ...] = ()) -> asyncio.Future[Message]:
        self._last += 1
        reply: asyncio.Future[Message] = self._loop.create_future()
        self._replies[self._last] = reply
        self._send({**message, "id": self._last}, fds)
        return reply

    def _send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        if self.closed.done():
            raise Unavailable("the container's shim is gone; start the container again")
        try:
            self._channel.send(message, fds)
        except OSError:
            # What the shim said before it left is still to be read: an exit, above all.
            self._read()
            return
        if self._channel.pending and not self._writing:
            self._writing = True
            self._loop.add_writer(self._channel.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._channel.flush()
        except OSError:
            self._read()
            return
        if not self._channel.pending:
            self._writing = False
            self._loop.remove_writer(self._channel.fileno())

    def _read(self) -> None:
        try:
            received = self._channel.receive()
        except (OSError, ProtocolError):
            received = None
        if received is None:
            self.close()
            return
        for message, fds in received:
            for fd in fds:
                os.close(fd)
            self._handle(message)

    def _handle(self, message: Message) -> None:
        if "event" in message:
            self._on_event(_event(message))
            return
        reply = self._replies.pop(message["id"], None)
        if reply is None or reply.done():
            return
        if "error" in message:
            reply.set_exception(_error(message))
        else:
            reply.set_result(message)


class Spawner:
    """The process that forks shims; one per engine, begun again when it dies.

    It sends a socket to each shim that it has parked, so that to take one costs no round trip.
    """

    def __init__(self, paths: Paths) -> None:
        self._run = paths.run
        self._shims = paths.run / "shims"
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._parked: deque[socket.socket] = deque()
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()

    async def start(self) -> None:
        """Begin the spawner; returns at once, and requests wait until it is warm."""
        self._shims.mkdir(parents=True, exist_ok=True)
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What the spawner forks has this executable until it executes a container's command.
        program = sealed(os.path.realpath(sys.executable))
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond, once
                [sys.executable, "-I", "-S", SPAWNER, self._run, str(theirs.fileno())],
                executable=f"/proc/self/fd/{program}",
                pass_fds=(theirs.fileno(), program),
                stdin=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        os.close(program)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._read)

    async def shim(self, container_id: str, on_event: OnEvent) -> ShimConnection:
        """Return a connection to a fresh shim for this container. Raises Unavailable."""
        for _ in range(ATTEMPTS):
            sock = await self._take()
            if sock is not None and not _ended(sock):
                return ShimConnection(sock, on_event, str(self._folder(container_id)))
        raise Unavailable("no shim can be started: see the engine's log (ipycontainer engine logs)")

    async def _take(self) -> socket.socket | None:
        """Take the parked shim or wait for one; None when the spawner died meanwhile."""
        if self._sock is None:
            await self.start()
        if self._sock is None or not self._ask_for_one(self._sock):
            return None
        if self._parked:
            return self._parked.popleft()
        waiting: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except Unavailable:
            return None

    def _ask_for_one(self, sock: socket.socket) -> bool:
        try:
            sock.send(b"x")
        except OSError:
            self._lose()
            return False
        return True

    def _read(self) -> None:
        packet = None
        if self._sock is not None:
            with contextlib.suppress(OSError):
                packet = receive_packet(self._sock)
        if packet is None:
            self._lose()
            return
        for fd in packet[1]:
            shim = socket.socket(fileno=fd)
            while self._waiting and self._waiting[0].done():  # whoever waited was cancelled
                self._waiting.popleft()
            if self._waiting:
                self._waiting.popleft().set_result(shim)
            else:
                self._parked.append(shim)

    def _lose(self) -> None:
        """Forget a spawner that has died; the next request begins another."""
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        if self._process is not None:
            self._process.wait()
            self._process = None
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(Unavailable("the spawner of shims has ended"))
        self._waiting.clear()
        for shim in self._parked:
            shim.close()
        self._parked.clear()

    async def reconnect(self, container_id: str, on_event: OnEvent) -> ShimConnection | None:
        """Return a connection to the shim that still keeps this container, or None."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            folder = os.open(self._folder(container_id), os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            sock.close()
            return None
        try:
            # A path under /proc, since the real one may be past the 108 bytes of an address.
            sock.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            self.clear(container_id)
            return None
        finally:
            os.close(folder)
        return ShimConnection(sock, on_event)

    def clear(self, container_id: str) -> None:
        """Remove what a shim that was killed left in the run folder; any other does so itself."""
        shutil.rmtree(self._folder(container_id), ignore_errors=True)  # it may be leaving just now

    def _folder(self, container_id: str) -> Path:
        return self._shims / container_id[:16]

    async def close(self) -> None:
        """End the spawner and its parked shim, and wait until they have cleaned up.

        Shims that were handed out stay.
        """
        process, self._process = self._process, None
        sock, self._sock = self._sock, None
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            await asyncio.to_thread(_see_off, sock, list(self._parked))
            self._parked.clear()
        self._lose()
        if process is not None:
            await asyncio.to_thread(process.wait)


def _see_off(spawner: socket.socket, parked: list[socket.socket]) -> None:
    """Say that no more is wanted, and wait for the end of each socket."""
    with spawner:
        spawner.settimeout(LEAVE_SECONDS)
        with contextlib.suppress(OSError):  # it was killed, or does not leave
            spawner.shutdown(socket.SHUT_WR)
            while packet := receive_packet(spawner):
                parked += [socket.socket(fileno=fd) for fd in packet[1]]
    for shim in parked:
        with shim, contextlib.suppress(OSError):
            shim.settimeout(LEAVE_SECONDS)
            shim.shutdown(socket.SHUT_WR)
            shim.recv(1)


def _ended(sock: socket.socket) -> bool:
    """Tell whether a parked shim was killed."""
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _attach_message(options: AttachOptions) -> Message:
    return {
        "stdin": options.stdin,
        "stdout": options.stdout,
        "stderr": options.stderr,
        "logs": options.logs,
        "stream": options.stream,
        "framed": options.framed,
        # JSON has no bytes; Latin-1 gives each one character.
        "detach_keys": options.detach_keys.decode("latin-1"),
        "buffered": options.buffered.decode("latin-1"),
    }


def _started(reply: Message) -> Started:
    return Started(reply["pid"], reply["started_at"], reply.get("cgroup", ""))


def _new_namespaces(spec: dict[str, Any]) -> list[str]:
    namespaces = spec.get("linux", {}).get("namespaces", [])
    return [namespace["type"] for namespace in namespaces if not namespace.get("path")]


def _text(bundle: dict[str, Any]) -> str:
    """Encode what only the nursery reads, so that the shim need not."""
    return msgspec.json.encode(bundle).decode()


def _error(message: Message) -> Exception:
    if message.get("missing"):
        return NotFound(message["error"])
    return StartFailed(
        message["error"], exit_code=message.get("exit", 125), step=message.get("step", "")
    )


def _event(message: Message) -> Event:
    if message["event"] == "exit":
        return Exited(
            message["code"],
            message["signal"],
            message["at"],
            message["oom"],
            message["started_at"],
        )
    if message["event"] == "exec-exit":
        return ExecExited(message["exec"], message["code"])
    return Detached(message.get("exec"))
