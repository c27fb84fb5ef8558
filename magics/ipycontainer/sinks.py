"""Where a cell's output goes: to be shown, or into a variable of the notebook."""

from __future__ import annotations

import codecs
import time
from typing import TYPE_CHECKING, Protocol

from .plain import Plain

if TYPE_CHECKING:
    from .bounded import Bounded

# A line that is not finished may be a question, which the box of the front end shows.
HELD = 0.15
_LONGEST = 4096  # of a question: a longer line is none, and would be copied at each look


class Stream(Protocol):
    """What text is written to, as to an open file."""

    def write(self, text: str, /) -> object:
        """Take text."""

    def flush(self) -> object:
        """Let nothing wait any longer."""


class Shown:
    """A stream that is shown: decoded across the cuts between reads, written when due.

    With `holds` a line that is not finished is kept back for a moment: `question` takes it.
    """

    def __init__(self, stream: Stream, bounded: Bounded) -> None:
        self.holds = False
        self._stream = stream
        self._bounded = bounded
        self._plain = Plain()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._held = ""
        self._since = 0.0
        self._open = False

    def write(self, data: memoryview) -> None:
        """Take bytes."""
        self._parts.append(self._decoder.decode(data))

    def flush(self, *, final: bool) -> None:
        """Show what came, but for what is held."""
        if final:
            self._parts.append(self._decoder.decode(b"", True))
        text = self._held + "".join(self._parts)
        fresh = len(text) > len(self._held)
        self._parts.clear()
        self._held = ""
        if self.holds and not final:
            whole, newline, rest = text.rpartition("\n")
            if fresh:
                self._since = time.monotonic()
            if self.due > 0 and len(rest) <= _LONGEST:
                text, self._held = whole + newline, rest
        if text:
            self._open = not text.endswith("\n")
        if shown := self._bounded.shown(self._plain.feed(text)):
            self._stream.write(shown)
            self._stream.flush()

    @property
    def due(self) -> float:
        """Seconds until what is held is to be shown."""
        return self._since + HELD - time.monotonic()

    @property
    def held(self) -> bool:
        """Whether there is something that was not shown."""
        return bool(self._held)

    def question(self) -> str:
        """Return the unfinished line that was not shown, which is the caller's now."""
        self.flush(final=False)
        held, self._held = self._held, ""
        return held

    def asked(self) -> bool:
        """Return whether a line was shown that is not finished; an answer finishes it."""
        was_open, self._open = self._open, False
        return was_open


class Filled:
    """A stream that fills a variable of the notebook."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: memoryview) -> None:
        """Take bytes."""
        self._data += data

    def flush(self, *, final: bool) -> None:
        """Keep what there is: the variable is filled when the verb has ended."""

    def value(self) -> str | bytes:
        """Return the text, or the bytes when they are no UTF-8."""
        try:
            return self._data.decode()
        except UnicodeDecodeError:
            return bytes(self._data)


class Echo:
    """Drops what a terminal echoes of an answer that the person sees already."""

    def __init__(self) -> None:
        self._expected = self._dropped = b""

    def expect(self, data: bytes) -> None:
        """Drop these bytes if they come next."""
        self._expected, self._dropped = data, b""

    def filter(self, data: memoryview) -> memoryview:
        """Return what is left of the next bytes; all of them once one differs."""
        expected = self._expected
        if not expected:
            return data
        size = min(len(data), len(expected))
        if data[:size] == expected[:size]:
            self._expected = expected[size:]
            self._dropped += expected[:size]
            return data[size:]
        self._expected = b""
        return memoryview(self._dropped + bytes(data))
