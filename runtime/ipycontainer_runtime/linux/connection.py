"""One engine's connection to a process of its own, a shim or a helper, in that process."""

import socket
import sys
import traceback

from .channel import Channel, ProtocolError
from .loop import IN, OUT, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .channel import Message

    Handle = Callable[[Message, list[int], "Answer"], None]
    Answer = Callable[[Message], None]


class Connection:
    """Reads requests for `handle(message, descriptors, answer)`, and sends answers and events.

    `on_closed` is called when the engine is gone, which is no reason for either to end.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        handle: "Handle",
        on_closed: "Callable[[Connection], None]",
    ) -> None:
        self._loop = loop
        self._channel = Channel(sock)
        self._handle = handle
        self._on_closed = on_closed
        self._closed = False
        self._watch()

    def _watch(self) -> None:
        events = IN | OUT if self._channel.pending else IN
        self._loop.watch(self._channel.fileno(), events, self._on_events)

    def _on_events(self, events: int) -> None:
        try:
            if events & OUT:
                self._channel.flush()
                self._watch()
            received = self._channel.receive()
        except (OSError, ProtocolError):
            received = None
        if received is None:
            self.close()
            return
        for message, fds in received:
            self._serve(message, fds)

    def _serve(self, message: "Message", fds: list[int]) -> None:
        number = message.get("id")

        def answer(reply: "Message") -> None:
            if number is not None:
                self.send({**reply, "id": number})

        try:
            self._handle(message, fds, answer)
        except Exception as error:
            # One request that fails must not end what goes on; the engine's log has the details.
            traceback.print_exc(file=sys.stderr)
            answer({"error": f"{message.get('do')} failed: {error}"})

    def send(self, message: "Message") -> None:
        """Send a message; harmless when the engine is gone."""
        if self._closed:
            return
        try:
            self._channel.send(message)
        except OSError:
            self.close()
            return
        if self._channel.pending:
            self._watch()

    def close(self) -> None:
        """Close it."""
        if self._closed:
            return
        self._closed = True
        self._loop.forget(self._channel.fileno())
        # First, so that the end of the connection says that a parked shim has cleaned up.
        self._on_closed(self)
        self._channel.close()
