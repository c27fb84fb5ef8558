"""Input that is there beforehand: bytes, or `--input`, which tells a program what it asks.

TEXT is a line, or several; @FILE is a file, sent as it is; {NAME} is the text of a notebook's
variable, which never means a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .failures import Usage

if TYPE_CHECKING:
    from .listening import Listening

_CHUNK = 1 << 16
END_OF_INPUT = b"\x04"  # what Ctrl-D sends: a terminal has no half-close


class Taken(str):
    """An argument that is a variable's value: never a mark, whatever it begins with."""

    __slots__ = ()


class Lines:
    """The lines and files of `--input`, in their order."""

    def __init__(self, given: Sequence[str]) -> None:
        self._parts: list[str | Path] = []
        for value in given:
            if isinstance(value, Taken) or not value.startswith("@"):
                self._parts += value.splitlines() or [""]
            elif value.startswith("@@"):
                self._parts += value[1:].splitlines()
            else:
                self._parts.append(_readable(value))

    def pieces(self, *, tty: bool) -> Iterator[bytes]:
        """Yield what to send for each question: a line with its end, or a piece of a file."""
        end = b"\r" if tty else b"\n"  # as the key Return sends it
        for part in self._parts:
            if isinstance(part, str):
                yield part.encode("utf-8", "surrogateescape") + end
                continue
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk


def _readable(value: str) -> Path:
    path = Path(value[1:]).expanduser()
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise Usage(
            f"--input {value}: {error.strerror}; a line that begins with @ is written @@"
        ) from error


class Given:
    """Input that is there already, a cell's body for one: all at once, and then the end."""

    descriptors = ()
    ready = True
    detached = False

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self) -> bytes:
        """Return all of it, and at the second call nothing."""
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        """Do nothing: the bytes are all there is."""


class Script:
    """The input of a process from `Lines`: one at each question, then the end.

    Where nobody tells of questions, on another engine, all are sent at once.
    """

    detached = False

    def __init__(self, lines: Lines, listening: Listening | None, *, tty: bool) -> None:
        self._pieces = lines.pieces(tty=tty)
        self._listening = listening
        self._tty = tty
        self._over = False

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Readable when there may be a question."""
        found = self._listening.descriptor if self._listening is not None else None
        return () if found is None else (found,)

    @property
    def ready(self) -> bool:
        """Whether to read though no descriptor says so."""
        return not self.descriptors or (self._listening is not None and self._listening.early)

    def read(self) -> bytes | None:
        """Return the next line if there was a question, and nothing at the end."""
        if self._listening is None or self._listening.descriptor is None:
            return self._next()
        asked = any(question is not None for question in self._listening.take())
        return self._next() if asked else None

    def _next(self) -> bytes:
        if (piece := next(self._pieces, None)) is not None:
            return piece
        if self._tty and not self._over:
            self._over = True
            return END_OF_INPUT
        return b""

    def close(self) -> None:
        """Let the engine look no more."""
        if self._listening is not None:
            self._listening.close()
