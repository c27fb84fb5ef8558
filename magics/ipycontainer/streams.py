"""A container's streams over one hijacked connection: both ways at once, in one loop.

attach and exec turn the HTTP connection into a raw one. Without a terminal the engine frames what
it sends: one byte for the stream, three of nothing, four of length, the bytes
(https://docs.docker.com/reference/api/engine/version/v1.50/#tag/Container/operation/ContainerAttach).
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from .failures import Failure
from .surface import STDERR, STDOUT

if TYPE_CHECKING:
    from .surface import Sink, Source

_HEADER = 8
_CHUNK = 1 << 18
_WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# A regular file as standard input is refused by epoll and always ready for poll.
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class Demux:
    """Takes the frames apart, wherever the reads happened to cut them."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._stream = STDOUT
        self._left = 0

    def feed(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Yield (stream, bytes) for what `data` holds; the bytes are views of `data`."""
        position, end = 0, len(data)
        while position < end:
            if self._left:
                stop = min(end, position + self._left)
                self._left -= stop - position
                yield self._stream, data[position:stop]
                position = stop
                continue
            missing = _HEADER - len(self._head)
            self._head += data[position : position + missing]
            position += missing
            if len(self._head) == _HEADER:
                # Docker numbers its own errors 3; a person reads them with standard error.
                self._stream = STDOUT if self._head[0] < STDERR else STDERR
                self._left = int.from_bytes(self._head[4:], "big")
                self._head.clear()


def socket_of(response: Any) -> tuple[socket.socket, bytes]:
    """Return the socket under a streamed reply, and what of its body was read ahead already.

    What came in one packet with the headers waits in a buffer where no selector sees it.
    """
    reader = response.raw._fp.fp
    found = getattr(getattr(reader, "raw", None), "_sock", None)
    if not isinstance(found, socket.socket):
        response.close()
        raise Failure(
            "streams of a container cannot be had over this DOCKER_HOST yet; "
            "use a unix:// or tcp:// one"
        )
    found.setblocking(False)
    try:
        return found, bytes(reader.peek(1))
    except _WAITING:
        return found, b""


class Connection:
    """The socket that is left of an HTTP request after the engine has answered it."""

    def __init__(self, response: Any) -> None:
        self._response = response  # when it is collected, it closes the socket
        self.socket, self._early = socket_of(response)
        self._buffer = bytearray(_CHUNK)

    def receive(self) -> memoryview | None:
        """Return the next bytes, none at the end of the stream, None when there is nothing yet."""
        if self._early:
            early, self._early = memoryview(self._early), b""
            return early
        try:
            count = self.socket.recv_into(self._buffer)
        except _WAITING:
            return None
        except ConnectionResetError:
            count = 0
        return memoryview(self._buffer)[:count]

    @property
    def pending(self) -> bool:
        """Whether bytes can be had that no selector sees: read early, or inside TLS."""
        return bool(self._early) or (
            isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0
        )

    def send(self, data: memoryview) -> int:
        """Send what fits; return how many bytes that was."""
        try:
            return self.socket.send(data)
        except _WAITING:
            return 0

    def half_close(self) -> None:
        """Tell the container that its standard input has ended, and go on reading."""
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                # shutdown() of an SSLSocket would also end decryption of what still comes.
                self.socket._sslobj.shutdown()  # type: ignore[attr-defined] # no public half-close
            else:
                self.socket.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            return  # the engine has closed first, or TLS waits for the answer that comes last

    def close(self) -> None:
        """Let the connection go."""
        self._response.close()
        self.socket.close()


class Beside(Protocol):
    """Another connection, looked after while a stream is relayed."""

    @property
    def descriptor(self) -> int | None:
        """What to wait on, if there is something to wait for."""
        ...

    def look(self) -> None:
        """Take what came."""


class Relay:
    """Copies between a connection and a surface until the engine ends the stream.

    `beside` is looked after meanwhile.
    """

    def __init__(
        self,
        connection: Connection,
        surface: Sink,
        source: Source | None,
        *,
        tty: bool,
        beside: Beside | None = None,
    ) -> None:
        self._connection = connection
        self._surface = surface
        self._source = source
        self._beside = beside
        self._demux = None if tty else Demux()
        self._outbox = memoryview(b"")
        self._selector = _Selector()
        self._selector.register(connection.socket, selectors.EVENT_READ)
        if surface.wake is not None:
            self._selector.register(surface.wake, selectors.EVENT_READ)
        self._followed: set[int] = set()
        self._sources: set[int] = set()  # those of them that are the source's
        self._wanted = selectors.EVENT_READ

    def run(self) -> None:
        """Relay both ways; returns at the end of the stream."""
        self._surface.woken()
        while True:
            self._prepare()
            due = self._surface.tick()
            at_once = self._connection.pending or self._refills
            ready = self._selector.select(0 if at_once else due)
            if self._serve({key.fd: mask for key, mask in ready}):
                break
        self._drop_source()
        self._follow(set())
        self._selector.unregister(self._connection.socket)
        self._surface.flush()

    def wait(self, descriptor: int) -> None:
        """Wait until something can be read, still handing on signals; after `run`."""
        self._selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in self._selector.select()}
            if self._surface.wake in ready:
                self._surface.woken()
            if descriptor in ready:
                self._selector.unregister(descriptor)
                return

    def close(self) -> None:
        """Let the selector go; the connection is its maker's."""
        self._selector.close()

    def _prepare(self) -> None:
        """Wait for room to write when there is something to write, else for something to read."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        if wanted != self._wanted:
            self._wanted = wanted
            self._selector.modify(self._connection.socket, wanted)
        following = self._source is not None and not self._outbox
        self._sources = set(self._source.descriptors) if self._source and following else set()
        other = self._beside.descriptor if self._beside is not None else None
        self._follow(self._sources if other is None else {*self._sources, other})

    def _follow(self, descriptors: set[int]) -> None:
        """Wait on these too; what was closed since may be among those of before."""
        for descriptor in self._followed - descriptors:
            self._selector.unregister(descriptor)
        for descriptor in descriptors - self._followed:
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._followed = descriptors

    def _serve(self, ready: dict[int, int]) -> bool:
        """Do what can be done now; return whether the stream has ended."""
        if self._surface.wake in ready:
            self._surface.woken()
        mask = ready.get(self._connection.socket.fileno(), 0)
        if mask & selectors.EVENT_WRITE:
            self._send()
        if (mask & ~selectors.EVENT_WRITE or self._connection.pending) and self._receive():
            return True
        # After what the process said: that may be what it asks.
        if self._refills or self._sources & ready.keys():
            self._refill()
        if self._beside is not None and self._beside.descriptor in ready:
            self._beside.look()
        return False

    def _receive(self) -> bool:
        data = self._connection.receive()
        if data is None:
            return False
        if self._demux is None:
            self._surface.write(STDOUT, data)
        else:
            for stream, part in self._demux.feed(data):
                self._surface.write(stream, part)
        return not data

    @property
    def _refills(self) -> bool:
        """Whether there is more to send though no descriptor says so."""
        return not self._outbox and self._source is not None and self._source.ready

    def _refill(self) -> None:
        if self._source is None:
            return
        data = self._source.read()
        if data is None:
            return
        if data:
            self._outbox = memoryview(data)
            self._send()
            return
        self._drop_source()
        if self._demux is not None:
            # With a terminal the engine takes a half-close for the person's leaving.
            self._connection.half_close()

    def _send(self) -> None:
        try:
            self._outbox = self._outbox[self._connection.send(self._outbox) :]
        except (BrokenPipeError, ConnectionResetError):
            # The container has closed its standard input; what it still says must be read.
            self._outbox = memoryview(b"")
            self._drop_source()

    def _drop_source(self) -> None:
        self._follow(self._followed - self._sources)
        self._sources = set()
        self._source = None
