"""The engine's side of the spawner, in asyncio: where connections to shims come from.

The engine asks `Spawner` for a shim, which answers at once: a parked process is handed one end of
a socket and the engine speaks to it through `ShimConnection`. A shim outlives the engine; a later
one finds it with `Spawner.reconnect`.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import NamedTuple

from ..errors import Unavailable
from ..launch import sealed
from ..linux.channel import SOCKET_NAME, receive_packet
from ..paths import ROOT_VARIABLE, RUN_VARIABLE, Paths
from .client import ShimConnection
from .messages import OnEvent

ATTEMPTS = 3  # a spawner or a parked shim that somebody killed is replaced
LEAVE_SECONDS = 5
# A container that may trace can read the memory of what launches it, so none of the person's
# variables (keys, tokens) are there: the interpreter's libraries, and whose processes these are.
VARIABLES = ("LD_LIBRARY_PATH", ROOT_VARIABLE, RUN_VARIABLE)
SPAWNER = Path(__file__).with_name("spawner.py")


class Parked(NamedTuple):
    """A shim that waits for a container, its cgroup, and our end of its socket."""

    pid: int
    cgroup: str
    sock: socket.socket
    network: int
    """The network namespace of its parked process."""

    def close(self) -> None:
        """Let go of it."""
        self.sock.close()
        os.close(self.network)


class Spawner:
    """The process that forks shims; one per engine, begun again when it dies.

    It sends a socket to each shim that it has parked, so that to take one costs no round trip.
    """

    def __init__(self, paths: Paths) -> None:
        self._run = paths.run
        self._shims = paths.run / "shims"
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._parked: deque[Parked] = deque()
        self._waiting: deque[asyncio.Future[Parked]] = deque()
        self._apart = False

    async def start(self) -> None:
        """Begin the spawner; returns at once, and requests wait until it is warm."""
        self._shims.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = self._execute(theirs.fileno())
        except OSError:
            ours.close()
            raise
        self._sock = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read)

    def _execute(self, engine: int) -> "subprocess.Popen[bytes]":
        # What the spawner forks has this executable until it executes a container's command.
        program = sealed(os.path.realpath(sys.executable))
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", SPAWNER, self._run, str(engine)],
                executable=f"/proc/self/fd/{program}",
                pass_fds=(engine, program),
                stdin=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name in VARIABLES},
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(program)

    async def shim(
        self, container_id: str, on_event: OnEvent, *, apart: bool = False
    ) -> ShimConnection:
        """Return a connection to a fresh shim for this container. Raises Unavailable.

        `apart` says that the container has ids of its own, as the next one may.
        """
        self._apart = apart
        refusal: Unavailable | None = None
        for _ in range(ATTEMPTS):
            try:
                parked = await self._take()
            except Unavailable as error:
                refusal = error
                continue
            if not _ended(parked.sock):
                folder = str(self._folder(container_id))
                return ShimConnection(
                    parked.sock, on_event, folder, parked.cgroup, parked.network, parked.pid
                )
            parked.close()
        raise Unavailable(
            f"no shim can be started: {refusal or 'each was killed'}; the engine's log may tell"
            " more (ipycontainer engine logs)"
        )

    async def _take(self) -> Parked:
        """Take the parked shim or wait for one; Unavailable when none can be forked now."""
        if self._sock is None:
            await self.start()
        while self._parked:
            parked = self._parked.popleft()
            if not _ended(parked.sock):
                self._say(parked.pid)
                return parked
            parked.close()  # it was killed, as the spawner sees too
        waiting: asyncio.Future[Parked] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._say(0)
        return await waiting

    def _say(self, pid: int) -> None:
        """Tell the spawner which shim is taken; 0: that somebody waits for one."""
        if self._sock is not None:
            try:
                self._sock.send(b"%d %d" % (pid, self._apart))
            except OSError:
                self._lose()

    def _read(self) -> None:
        packet = None
        if self._sock is not None:
            with contextlib.suppress(OSError):
                packet = receive_packet(self._sock)
        if packet is None:
            self._lose()
            return
        message, fds = packet
        while self._waiting and self._waiting[0].done():  # whoever waited was cancelled
            self._waiting.popleft()
        if len(fds) < 2:
            for fd in fds:
                os.close(fd)
            if self._waiting:
                # The kernel drops a descriptor for which there is no place.
                why = message.get("error") or "the engine has too many open files"
                self._waiting.popleft().set_exception(Unavailable(why))
            return
        parked = Parked(message["pid"], message["cgroup"], socket.socket(fileno=fds[0]), fds[1])
        if self._waiting:
            self._waiting.popleft().set_result(parked)
            self._say(parked.pid)
        else:
            self._parked.append(parked)

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
        for parked in self._parked:
            parked.close()
        self._parked.clear()

    def left(self, container_id: str) -> bool:
        """Tell whether a shim is, or was killed, that took this container."""
        return self._folder(container_id).exists()

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
            for parked in self._parked:
                os.close(parked.network)
            await asyncio.to_thread(_see_off, sock, [parked.sock for parked in self._parked])
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
                parked += [socket.socket(fileno=fd) for fd in packet[1][:1]]
                for fd in packet[1][1:]:
                    os.close(fd)
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
