"""Where engines reach a shim: the socket in its folder, and one connection for each engine."""

import contextlib
import os
import socket

from ..linux.channel import SOCKET_NAME
from ..linux.connection import Connection
from ..linux.loop import IN, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..linux.channel import Message
    from ..linux.connection import Handle


class Endpoint:
    """Listens in `folder`, which it makes; `handle` serves requests.

    `on_deserted` is called when the last engine has gone.
    """

    def __init__(
        self, loop: Loop, folder: str, handle: "Handle", on_deserted: "Callable[[], None]"
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._handle = handle
        self._on_deserted = on_deserted
        self._connections: list[Connection] = []
        self._listener = socket.socket(socket.AF_UNIX)
        os.mkdir(folder, 0o700)
        # Kept, since the path may soon be that of the container's next shim.
        self._fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        self._spare = os.dup(self._fd)
        # The path itself may be longer than the 108 bytes of an address.
        self._listener.bind(f"/proc/self/fd/{self._fd}/{SOCKET_NAME}")
        self._listener.listen()
        loop.watch(self._listener.fileno(), IN, self._accept)

    def move(self, folder: str) -> None:
        """Move to the container's folder; a bound socket stays bound when it is renamed."""
        try:
            os.rename(self._folder, folder)
        except OSError:
            remove_folder(folder)  # of the last run's shim, which is leaving or was killed
            os.rename(self._folder, folder)
        self._folder = folder

    def _accept(self, events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            # This process may open nothing more: who connects is told by the end of it.
            os.close(self._spare)
            self._listener.accept()[0].close()
            self._spare = os.dup(self._fd)
            return
        self.connect(sock)

    def connect(self, sock: socket.socket) -> None:
        """Serve an engine at the other end of a socket."""
        self._connections.append(Connection(self._loop, sock, self._handle, self._closed))

    def _closed(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._on_deserted()

    def tell(self, event: "Message") -> None:
        """Send an event to every engine."""
        for connection in self._connections[:]:
            connection.send(event)

    def close(self) -> None:
        """Remove the socket and its folder, and let the engines go."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET_NAME, dir_fd=self._fd)
        # With a socket in it, what has this path is the next shim's.
        with contextlib.suppress(OSError):
            os.rmdir(self._folder)
        for connection in self._connections[:]:
            connection.close()


def remove_folder(folder: str) -> None:
    """Remove a shim's folder and its socket, if they are there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{SOCKET_NAME}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)
