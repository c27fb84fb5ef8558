"""The stream to an interpreter in a container: messages both ways, bounded and with a deadline."""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ..streams import Demux
from ..surface import STDOUT
from .inside import frames

if TYPE_CHECKING:
    from ..streams import Connection

Wakes = Sequence[int]
"""Descriptors beside the stream that end a wait for it."""
_MOST_NOTES = 4096
_LONGEST_OUTPUT = 1 << 20
_MOST_DATA = frames.LARGEST + (4 << 20)
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE
_KINDS = (frames.HELLO, frames.OUT, frames.ERR, frames.SHOW, frames.ASK, frames.RESULT)
_SHORT = (frames.HELLO, frames.OUT, frames.ERR, frames.ASK)


class Broken(Exception):  # noqa: N818 - it is caught next door, and says what the stream is
    """The stream has ended, or what came is no message; the message says which."""


class Message(NamedTuple):
    """What came: its kind as `frames` names it, and its bytes."""

    kind: bytes
    body: bytes


class Channel:
    """One hijacked exec: our messages inside the engine's frames of its standard output."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._demux = Demux()
        self._data = bytearray()
        self.notes = b""
        """The last of what came on standard error: a Python that cannot start says why there."""
        self._selector = selectors.PollSelector()
        self._sending = threading.Lock()

    def send(
        self, kind: bytes, pieces: Sequence[bytes], wakes: Wakes, deadline: float | None
    ) -> None:
        """Send a message; `wakes` and `deadline` are as in `receive`, but end the stream."""
        self.send_raw(_message(kind, pieces), wakes, deadline)

    def send_now(self, kind: bytes, pieces: Sequence[bytes]) -> None:
        """Send a short message while another thread waits in `receive`; raises Broken."""
        with self._sending:
            try:
                self._connection.send(memoryview(_message(kind, pieces)))
            except OSError as error:
                raise Broken("it has ended") from error

    def send_raw(self, data: bytes, wakes: Wakes, deadline: float | None) -> None:
        """Send bytes, and read while there is no room: the other side may wait for that."""
        left = memoryview(data)
        try:
            with self._sending:
                left = left[self._connection.send(left) :]
                if left:
                    with self._waiting(_BOTH, wakes):
                        self._send_rest(left, wakes, deadline)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Broken("it has ended") from error

    def _send_rest(self, left: memoryview, wakes: Wakes, deadline: float | None) -> None:
        while left:
            ready = self._ready(deadline)
            if not ready or ready.keys() & set(wakes):
                raise Broken("it does not take what it is sent")
            mask = ready.get(self._connection.socket.fileno(), 0)
            if mask & selectors.EVENT_READ:
                self._fill()
            if mask & selectors.EVENT_WRITE:
                left = left[self._connection.send(left) :]

    def receive(self, wakes: Wakes, deadline: float | None) -> Message | None:
        """Return the next message; None when one of `wakes` is readable or the deadline has passed.

        Raises Broken.
        """
        with self._waiting(selectors.EVENT_READ, wakes):
            while (message := self._take()) is None:
                ready = self._ready(deadline)
                if self._connection.socket.fileno() in ready:
                    self._fill()
                elif not ready or ready.keys() & set(wakes):
                    return None
            return message

    def drain(self, deadline: float) -> None:
        """Read what else comes until the stream ends, and drop it."""
        with self._waiting(selectors.EVENT_READ, ()), suppress(Broken):
            while time.monotonic() < deadline and self._ready(deadline):
                self._data.clear()
                self._fill()

    @contextmanager
    def _waiting(self, events: int, wakes: Wakes) -> Iterator[None]:
        self._selector.register(self._connection.socket, events)
        for wake in wakes:
            self._selector.register(wake, selectors.EVENT_READ)
        try:
            yield
        finally:
            self._selector.unregister(self._connection.socket)
            for wake in wakes:
                self._selector.unregister(wake)

    def _ready(self, deadline: float | None) -> dict[int, int]:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        pending = self._connection.pending
        found = {key.fd: mask for key, mask in self._selector.select(0 if pending else left)}
        return found or (
            {self._connection.socket.fileno(): selectors.EVENT_READ} if pending else {}
        )

    def close(self) -> None:
        """End the stream, and with it the interpreter."""
        self._selector.close()
        self._connection.close()

    def _fill(self) -> None:
        data = self._connection.receive()
        if data is None:
            return
        if not data:
            raise Broken("it has ended")
        for stream, part in self._demux.feed(data):
            if stream == STDOUT:
                self._data += part
                if len(self._data) > _MOST_DATA:
                    raise Broken("it sends without end")
            else:
                self.notes = (self.notes + bytes(part))[-_MOST_NOTES:]

    def _take(self) -> Message | None:
        if len(self._data) < frames.HEAD.size:
            return None
        kind, size = frames.HEAD.unpack_from(self._data)
        limit = _LONGEST_OUTPUT if kind in _SHORT else frames.LARGEST
        if kind not in _KINDS or size > limit:
            raise Broken("what it sent is no message of ours")
        end = frames.HEAD.size + size
        if len(self._data) < end:
            return None
        body = bytes(memoryview(self._data)[frames.HEAD.size : end])
        del self._data[:end]
        return Message(kind, body)


def _message(kind: bytes, pieces: Sequence[bytes]) -> bytes:
    head = frames.HEAD.pack(kind, sum(len(piece) for piece in pieces))
    return b"".join([head, *pieces])
