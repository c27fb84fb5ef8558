"""One TCP connection to a published port, passed on by splice: no byte is copied to this process.

Both sockets are watched for edges, and pumped until neither direction moves. A direction that ends
is ended at the other side, and the other goes on (half-close); what one side does not take stays
in the pipe, and then with its sender (back pressure).
"""

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable

from ipycontainer_runtime.linux.loop import IN, OUT, Loop

PIPE = 1 << 16  # bytes of a pipe, as the kernel makes them
SPARE_PIPES = 64
ROUNDS = 32  # of both directions, before it is another connection's turn
_WATCHED = IN | OUT | select.EPOLLRDHUP | select.EPOLLET
_SPLICE_F_MOVE, _SPLICE_F_NONBLOCK = 1, 2
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: end by a reset

DESCRIPTORS = 6  # of one connection: two sockets, and a pipe for each direction
RESERVED = 1500  # descriptors that are kept for names, or a quarter where there are few


class Relay:
    """What the connections and clients of all ports share: pipes, and how many there may be.

    What is past that is reset, so that a flood of connections leaves names their descriptors.
    """

    def __init__(self, loop: Loop, descriptors: int) -> None:
        """Keep to this many descriptors, which the process may have open."""
        self.loop = loop
        self._most = (descriptors - min(RESERVED, descriptors // 4)) // DESCRIPTORS
        self._under_way = 0
        self._pipes: list[tuple[int, int]] = []

    @property
    def full(self) -> bool:
        """Whether no more connections are passed on now."""
        return self._under_way >= self._most

    def begin(self) -> None:
        """Count a connection, or a client of UDP, which has one socket."""
        self._under_way += 1

    def end(self) -> None:
        """Count one less."""
        self._under_way -= 1

    def pipe(self) -> tuple[int, int]:
        """Return an empty pipe that does not block."""
        return self._pipes.pop() if self._pipes else os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def put_back(self, pipe: tuple[int, int], *, empty: bool) -> None:
        """Keep a pipe for another connection, or close it."""
        if empty and len(self._pipes) < SPARE_PIPES:
            self._pipes.append(pipe)
        else:
            for fd in pipe:
                os.close(fd)


class Stream:
    """Two sockets, the client's and the container's, until both directions have ended."""

    def __init__(
        self,
        relay: Relay,
        client: socket.socket,
        container: socket.socket,
        closed: "Callable[[Stream], None]",
    ) -> None:
        self._relay = relay
        self._loop = relay.loop
        self._sockets = (client, container)
        self._closed = closed
        self._connected = False
        self._directions: list[_Direction] = []
        relay.begin()
        for sock in self._sockets:  # so that a peer that has gone without a word is noticed
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._loop.watch(container.fileno(), _WATCHED, self._on_container)

    def _on_container(self, events: int) -> None:
        if not self._connected:
            if not events & ~IN:
                return
            if self._sockets[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.reset()
                return
            if not self._begin():
                return
        self._pump()

    def _on_client(self, events: int) -> None:
        self._pump()

    def _begin(self) -> bool:
        client, container = self._sockets
        try:
            self._directions.append(_Direction(self._relay, client, container))
            self._directions.append(_Direction(self._relay, container, client))
        except OSError:  # no descriptor is free
            self.reset()
            return False
        self._connected = True
        self._loop.watch(client.fileno(), _WATCHED, self._on_client)
        return True

    def _pump(self) -> None:
        there, back = self._directions
        try:
            for _ in range(ROUNDS):
                # Both, though the first has moved.
                if not there.move() | back.move():
                    break
            else:
                client, container = self._sockets  # watched anew, so that edges come again
                self._loop.watch(client.fileno(), _WATCHED, self._on_client)
                self._loop.watch(container.fileno(), _WATCHED, self._on_container)
        except OSError:
            self.reset()
            return
        if there.ended and back.ended:
            self.close()

    def reset(self) -> None:
        """End it as a connection that failed."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close both sockets, once."""
        if self._sockets[0].fileno() < 0:
            return
        for sock in self._sockets:
            self._loop.forget(sock.fileno())
            sock.close()
        for direction in self._directions:
            direction.close()
        self._relay.end()
        self._closed(self)


class _Direction:
    """What goes from one socket to the other."""

    def __init__(self, relay: Relay, source: socket.socket, target: socket.socket) -> None:
        self._relay = relay
        self._source, self._target = source.fileno(), target
        self._read, self._write = relay.pipe()
        self._held = 0
        self._drained = False
        self.ended = False

    def move(self) -> bool:
        """Move what can be moved now; true if anything was."""
        if self.ended:
            return False
        moved = self._take()
        if self._held:
            moved |= self._give()
        if self._drained and not self._held:
            self.ended = True
            with contextlib.suppress(OSError):  # the target has closed
                self._target.shutdown(socket.SHUT_WR)
        return moved

    def _take(self) -> bool:
        if self._drained or self._held >= PIPE:
            return False
        try:
            count = _splice(self._source, self._write)
        except BlockingIOError:
            return False
        self._held += count
        self._drained = not count
        return bool(count)

    def _give(self) -> bool:
        try:
            count = _splice(self._read, self._target.fileno())
        except BlockingIOError:
            return False
        self._held -= count
        return bool(count)

    def close(self) -> None:
        self._relay.put_back((self._read, self._write), empty=not self._held)


def _splice(source: int, target: int) -> int:
    return os.splice(source, target, PIPE, flags=_SPLICE_F_MOVE | _SPLICE_F_NONBLOCK)
