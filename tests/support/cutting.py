"""A connection to a registry that breaks when a test says so."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_CHUNK = 64 << 10


class Cutting:
    """A relay at `address` to a registry; `sent` bytes went through it so far."""

    def __init__(self, target: str, listener: socket.socket) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = listener
        self.address = "{}:{}".format(*listener.getsockname())
        self.sent = 0
        self.cuts = 0
        self._cut_at: list[int] = []
        self._then: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()

    def cut(self, *after: int, then: Callable[[], None] = lambda: None) -> None:
        """Reset the connection whose bytes bring the sum to each of these, and do `then`."""
        self._cut_at = [self.sent + count for count in sorted(after)]
        self._then = then

    def serve(self) -> None:
        """Take connections until the listener is shut."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                registry = socket.create_connection(self._target)
            except OSError:
                _reset(client)
                continue
            self._open |= {client, registry}
            for relay in (self._forth, self._back):
                thread = threading.Thread(target=relay, args=(client, registry))
                thread.start()
                self._threads.append(thread)

    def close(self) -> None:
        """Reset what is open and wait for all threads."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._open:
            sock.close()

    def _forth(self, client: socket.socket, registry: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if self._due(len(data)):
                    self._end(registry)
                    _reset(client)
                    return
                registry.sendall(data)
            registry.shutdown(socket.SHUT_WR)

    def _end(self, registry: socket.socket) -> None:
        """Let the registry have what was sent, and hear that this was all, before anybody asks."""
        self._then()
        with suppress(OSError):
            registry.shutdown(socket.SHUT_WR)
            while registry.recv(_CHUNK):
                pass
        _reset(registry)

    def _due(self, count: int) -> bool:
        with self._lock:
            self.sent += count
            if self._cut_at and self.sent >= self._cut_at[0]:
                self._cut_at.pop(0)
                self.cuts += 1
                return True
            return False

    def _back(self, client: socket.socket, registry: socket.socket) -> None:
        with suppress(OSError):
            while data := registry.recv(_CHUNK):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


@contextmanager
def cutting(target: str) -> Iterator[Cutting]:
    """Yield a relay to `target` (host:port)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Cutting(target, listener)
        thread = threading.Thread(target=relay.serve)
        thread.start()
        try:
            yield relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            relay.close()


def _reset(sock: socket.socket) -> None:
    # To linger for no time at all is what makes the kernel send a reset; shut, as another thread
    # may wait in recv.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
