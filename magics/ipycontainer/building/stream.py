"""The answer to POST /build as it comes, with a beat while nothing comes: clocks go on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..session import Session

_BEAT = 0.5
_AHEAD = 1000  # messages that wait to be shown; then the engine waits

Message = dict[str, Any]


class Answer:
    """One streamed reply, read in a thread of its own so that whoever shows it is never stuck."""

    def __init__(self, session: Session, response: Any) -> None:
        self._api, self._response = session.api, response
        self._queue: Queue[Message | Exception | None] = Queue(_AHEAD)
        self._closed = Event()
        self._thread = Thread(target=self._read, daemon=True, name="ipycontainer build")
        self._thread.start()

    def __iter__(self) -> Iterator[Message | None]:
        """Yield the messages, and None at each beat; what ends the reading is raised."""
        while True:
            try:
                item = self._queue.get(timeout=_BEAT)
            except Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """Let the engine know that nobody listens: a build that is not done ends."""
        self._closed.set()
        with suppress(AttributeError, OSError):  # it may be closed already, and then has no socket
            self._response.raw._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._response.close()

    def _read(self) -> None:
        end: Exception | None = None
        try:
            for message in self._api._stream_helper(self._response, decode=True):
                if not self._put(message):
                    return
        except Exception as error:  # raised again where it is waited for
            end = error
        self._put(end)

    def _put(self, item: Message | Exception | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_BEAT)
            except Full:
                continue
            return True
        return False
