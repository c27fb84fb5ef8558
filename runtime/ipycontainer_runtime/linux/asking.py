"""The engine's side of a connection to one of its processes, in asyncio: questions and events.

Messages of one connection are handled in order; replies are known by their number.
"""

import asyncio
import os
import socket
from collections.abc import Callable

from ..errors import Unavailable
from .channel import Channel, Message, ProtocolError


class Asking:
    """One connection to `whom`, a shim or a helper; used from one event loop.

    `on_event` is called from the event loop with what is no reply; `error_from` makes an exception
    of a reply that has "error". `closed` resolves when the process is gone, or this connection is.
    """

    def __init__(
        self,
        sock: socket.socket,
        whom: str,
        on_event: Callable[[Message], None],
        error_from: Callable[[Message], Exception],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(sock)
        self._ended = Unavailable(f"the connection to {whom} ended; try again")
        self._on_event = on_event
        self._error_from = error_from
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self._writing = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(sock.fileno(), self._read)

    def ask(self, message: Message, fds: tuple[int, ...] = ()) -> asyncio.Future[Message]:
        """Send a message at once, its descriptors duplicated; the future has the reply."""
        self._last += 1
        reply: asyncio.Future[Message] = self._loop.create_future()
        self._replies[self._last] = reply
        try:
            self.send({**message, "id": self._last}, fds)
        except (OSError, Unavailable):  # as where no descriptor is left for what has to wait
            self._replies.pop(self._last, None)
            raise
        return reply

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message that has no reply. Raises Unavailable when the connection has ended."""
        if self.closed.done():
            raise Unavailable(str(self._ended))
        try:
            self._channel.send(message, fds)
        except ConnectionError:
            # What was said before the other end left is still to be read: an exit, above all.
            self._read()
            return
        if self._channel.pending and not self._writing:
            self._writing = True
            self._loop.add_writer(self._channel.fileno(), self._write)

    def close(self) -> None:
        """Drop the connection; whoever waits for a reply is told Unavailable."""
        if self.closed.done():
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self.closed.set_result(None)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Unavailable(str(self._ended)))
        self._replies.clear()

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
            self._on_event(message)
            return
        reply = self._replies.pop(message["id"], None)
        if reply is None or reply.done():
            return
        if "error" in message:
            reply.set_exception(self._error_from(message))
        else:
            reply.set_result(message)
