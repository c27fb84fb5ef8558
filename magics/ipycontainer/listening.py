"""What our engine tells of one process's input: who waits for it, and for what.

`GET /ipycontainer/containers/{id}/input` answers with a JSON line at each change, from before the
start to the end of the process. It is read between other things by the loop that relays, so the
chunks of the reply are taken apart here.
"""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .streams import socket_of

if TYPE_CHECKING:
    from .session import Session

EXTENSION = "input"
_READ = 1 << 16
_WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Question(NamedTuple):
    """A process waits for input.

    `line` is the unfinished line that it wrote last, `process` its name: hostile text, both.
    `echo` is false while what is typed is not to be seen.
    """

    line: str
    process: str
    echo: bool


class Chunks:
    """Takes the chunks of a reply apart, wherever reads happened to cut them (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the contents of the chunks that are whole."""
        self._data += data
        found = []
        while not self.ended and (size_end := self._data.find(b"\r\n")) >= 0:
            size = int(self._data[:size_end], 16)
            end = size_end + 2 + size
            if len(self._data) < end + 2:
                break
            found.append(bytes(self._data[size_end + 2 : end]))
            del self._data[: end + 2]
            self.ended = size == 0
        return found


class Listening:
    """A connection to what the engine tells, read when `descriptor` is readable."""

    def __init__(self, session: Session, target: str) -> None:
        self._session = session
        self._target = target
        self._open()

    def _open(self) -> None:
        api = self._session.api
        url = api._url(f"/ipycontainer/{self._target}/input")
        self._response = api._get(url, stream=True, timeout=None)
        api._raise_for_status(self._response)
        self._socket, self._early = socket_of(self._response)
        self._chunks = Chunks()

    @property
    def descriptor(self) -> int | None:
        """What to wait on; None when nothing more is told."""
        found = self._socket.fileno()
        return found if found >= 0 else None

    @property
    def early(self) -> bool:
        """Whether something was read already that no selector sees."""
        return bool(self._early)

    def take(self) -> list[Question | None]:
        """Return what has changed since: a question, or None when nobody waits any more."""
        told: list[bytes] = []
        data, self._early = self._early, b""
        while True:
            told += self._chunks.feed(data)
            try:
                data = self._socket.recv(_READ)
            except _WAITING:
                break
            except OSError:
                data = b""
            if not data:
                self._lost()
                break
        return [_question(json.loads(line)) for line in told if line.strip()]

    def _lost(self) -> None:
        """The end of what is told; when it came without a word, the engine was killed."""
        from docker.errors import APIError
        from requests import RequestException

        self.close()
        if not self._chunks.ended:
            # Another engine takes its containers over; one that is not there tells nothing.
            with suppress(APIError, RequestException):
                self._open()

    def close(self) -> None:
        """Listen no more."""
        self._response.close()
        self._socket.close()


def _question(told: dict[str, object]) -> Question | None:
    if not told["wanted"]:
        return None
    return Question(str(told["line"]), str(told["process"]), bool(told["echo"]))
