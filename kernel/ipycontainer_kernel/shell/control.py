"""The kernel's own channel to the shell: lines go in, and what is marked comes out.

Prompts and banners of the shell are on it too. What is ours begins with a random word, that of the
session or that of the cell, and a kind; all else is passed over. What comes is bounded: it is the
container that sends it.
"""

from __future__ import annotations

import re
import secrets
import selectors
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ipycontainer.streams import Demux
from ipycontainer.surface import STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipycontainer.streams import Connection

LARGEST: Final = 32 << 20
"""Bytes of a file that is displayed, or of the state of a shell, at most."""
_LONGEST_LINE: Final = 8192  # a path has 4096 bytes at most
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_SENDS_WITHIN: Final = 10.0
_OPENS: Final = (b"show", b"state", b"told")


class Broken(Exception):  # noqa: N818 - it says what the channel is
    """The channel has ended, or takes nothing."""


class Late(Broken):
    """The shell has not answered in time."""


class Mark(NamedTuple):
    """Something of ours: its kind, what stands after that, and the bytes since the last mark."""

    kind: str
    value: str
    body: bytes
    """Those that belong to a mark which opens something; none otherwise."""
    cut: bool = False
    """Whether they were too many, and are not here."""

    @property
    def number(self) -> int | None:
        """Its value where that is a number; it is the container that sends it."""
        return int(self.value) if _NUMBER.fullmatch(self.value) else None


def word() -> str:
    """Return a word that nobody can guess."""
    return secrets.token_hex(16)


class Control:
    """One hijacked exec: the holder's standard streams."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._demux = Demux()
        self._data = bytearray()
        self._looked = 0
        self._open = self._cut = False
        self._marks = re.compile(b"")
        self.token = ""
        self.stirred = False
        """Whether the shell has said something that is not ours, as it does when it prompts."""

    @property
    def descriptor(self) -> int:
        """Readable when something came."""
        return self._connection.socket.fileno()

    @property
    def pending(self) -> bool:
        """Whether something came that no selector sees."""
        return self._connection.pending

    def expect(self, nonce: str) -> None:
        """Take marks with this word from now on, and forget what came before."""
        self._data.clear()
        self._looked, self._open, self._cut = 0, False, False
        words = b"|".join(word.encode() for word in (self.token, nonce) if word)
        self._marks = re.compile(rb"(?:%s) ([a-z]+) ?([^\n]*)\n" % words)

    def send(self, text: str) -> None:
        """Send lines to the shell; raises Broken when it takes none."""
        left = memoryview(text.encode("utf-8", "surrogateescape"))
        deadline = time.monotonic() + _SENDS_WITHIN
        try:
            while left := left[self._connection.send(left) :]:
                with selectors.PollSelector() as selector:
                    selector.register(self._connection.socket, selectors.EVENT_WRITE)
                    if not selector.select(max(0.0, deadline - time.monotonic())):
                        raise Broken("the shell does not read what it is sent")
        except OSError as error:
            raise Broken("the shell has ended") from error

    def read(self) -> None:
        """Take what came; raises Broken at the end."""
        data = self._connection.receive()
        if data is None:
            return
        if not data:
            raise Broken("the shell has ended")
        for stream, part in self._demux.feed(data):
            self.stirred = True
            if stream == STDOUT:
                self._data += part

    def marks(self) -> Iterator[Mark]:
        """Yield what has come of ours."""
        while found := self._marks.search(self._data, self._looked):
            kind, value = found[1], found[2].decode(errors="surrogateescape")
            body = bytes(self._data[: found.start()]) if self._open and not self._cut else b""
            mark = Mark(kind.decode(), value, body, self._cut)
            del self._data[: found.end()]
            self._looked, self._cut, self._open = 0, False, kind in _OPENS
            yield mark
        self._bound()

    def _bound(self) -> None:
        """Let go of what nobody will ask for; the beginning of a mark may be at the end."""
        if not self._open or self._cut or len(self._data) > LARGEST:
            self._cut = self._open
            del self._data[:-_LONGEST_LINE]
        self._looked = max(0, len(self._data) - _LONGEST_LINE)

    def wait(self, seconds: float) -> Iterator[Mark]:
        """Yield marks as they come; raises Broken at the end, and Late after `seconds`."""
        deadline = time.monotonic() + seconds
        with selectors.PollSelector() as selector:
            selector.register(self._connection.socket, selectors.EVENT_READ)
            while True:
                yield from self.marks()
                left = deadline - time.monotonic()
                if left <= 0 or not (self.pending or selector.select(left)):
                    raise Late(f"the shell did not answer within {seconds:g} s")
                self.read()

    def close(self) -> None:
        """End the channel."""
        self._connection.close()
