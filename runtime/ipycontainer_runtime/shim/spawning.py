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

from ..errors import Unavailable
from ..launch import sealed
from ..paths import Paths
from .client import ShimConnection
from .messages import OnEvent
from .protocol import SOCKET_NAME, receive_packet

ATTEMPTS = 3  # a spawner or a parked shim that somebody killed is replaced
LEAVE_SECONDS = 5
SPAWNER = Path(__file__).with_name("spawner.py")


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
