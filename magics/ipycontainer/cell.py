"""A notebook's cell as the surface of a verb: its output areas, its body, its interrupts."""

from __future__ import annotations

import codecs
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from .failures import Usage
from .signals import Signals
from .surface import STDERR, STDOUT, agreed

if TYPE_CHECKING:
    from .listing import Listing
    from .surface import Controls, Progress

# Jupyter's server drops output beyond 1000 messages a second; two streams at this rate make 100.
_BETWEEN_FLUSHES = 0.02
_END_OF_INPUT = b"\x04"  # what Ctrl-D sends: a terminal has no half-close


class Body:
    """A cell's body as standard input: all there at once, and then the end."""

    descriptor = None
    detached = False

    def __init__(self, text: str, *, tty: bool) -> None:
        self._data = text.encode("utf-8", "surrogateescape") + (_END_OF_INPUT if tty else b"")

    def read(self) -> bytes:
        """Return the whole body, and at the second call nothing."""
        data, self._data = self._data, b""
        return data


class _Text:
    """A stream that is shown: decoded across the cuts between reads, written when due."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []

    def write(self, data: memoryview) -> None:
        self._parts.append(self._decoder.decode(data))

    def flush(self, *, final: bool) -> None:
        if final:
            self._parts.append(self._decoder.decode(b"", True))
        if text := "".join(self._parts):
            self._stream.write(text)
            self._stream.flush()
        self._parts.clear()


class _Variable:
    """A stream that fills a variable of the notebook."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: memoryview) -> None:
        self._data += data

    def flush(self, *, final: bool) -> None:
        """Keep what there is: the variable is filled when the verb has ended."""

    def value(self) -> str | bytes:
        """Return the text, or the bytes when they are no UTF-8."""
        try:
            return self._data.decode()
        except UnicodeDecodeError:
            return bytes(self._data)


class Cell:
    """Writes into the cell that runs; reads the cell's body.

    `live` says whether the front end can redraw an output, as notebooks can and terminals cannot;
    `rich` whether the person wants to see tables rather than text.
    """

    program = "%container"

    def __init__(self, body: str | None, *, live: bool, rich: bool) -> None:
        self.offers_input = body is not None
        self._body = body or ""
        self._unread = bool(self._body.strip())
        self._live = live
        self._rich = rich
        # Looked up now: `%%capture` and redirect_stdout put their own streams in place.
        self._sinks: dict[int, _Text | _Variable] = {
            STDOUT: _Text(sys.stdout),
            STDERR: _Text(sys.stderr),
        }
        self._variables: dict[str, _Variable] = {}
        self._signals = Signals()
        self._controls: Controls | None = None
        self._dirty = False
        self._flushed = 0.0

    def say(self, text: str) -> None:
        """Print a line of result."""
        print(text, file=sys.stdout, flush=True)

    def note(self, text: str) -> None:
        """Print a line about what goes on."""
        self._flush(final=False)
        print(text, file=sys.stderr, flush=True)

    def ask(self, question: str) -> bool:
        """Ask in the box that the front end shows under the cell, where it has one."""
        from IPython.core.error import StdinNotImplementedError

        try:
            return agreed(input(f"{question} [y/N] "))
        except (EOFError, OSError, StdinNotImplementedError):
            raise Usage(f"{question.splitlines()[0]} Add -f: nobody can be asked here") from None

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes of a container's stream; they are decoded before this returns."""
        self._sinks[stream].write(data)
        self._dirty = True

    def tick(self) -> float | None:
        """Show what came, at most 50 times a second."""
        if not self._dirty:
            return None
        wait = self._flushed + _BETWEEN_FLUSHES - time.monotonic()
        if wait > 0:
            return wait
        self._flush(final=False)
        return None

    def flush(self) -> None:
        """Show all that came."""
        self._flush(final=True)

    def _flush(self, *, final: bool) -> None:
        self._dirty = False
        self._flushed = time.monotonic()
        for sink in self._sinks.values():
            sink.flush(final=final)

    def redirect(self, out: str | None, err: str | None) -> None:
        """Fill variables of the notebook; the same name for both takes them as they come."""
        for stream, name in ((STDOUT, out), (STDERR, err)):
            if name is not None:
                if not name.isidentifier():
                    raise Usage(f"{name!r} is no name for a variable")
                self._sinks[stream] = self._variables.setdefault(name, _Variable())

    def variables(self) -> dict[str, str | bytes]:
        """Return what `--out` and `--err` have filled so far."""
        return {name: variable.value() for name, variable in self._variables.items()}

    def code(self) -> str:
        """Return the cell's body after an empty line, so that its lines have the cell's numbers."""
        self._unread = False
        return f"\n{self._body}" if self._body else ""

    def source(self, *, tty: bool) -> Body:
        """Return the cell's body as standard input."""
        self._unread = False
        return Body(self._body, tty=tty)

    def finish(self) -> None:
        """Say so when the verb had no use for the cell's body."""
        if self._unread:
            self.note(
                "the rest of the cell was not sent to anything: `run -i` and `exec -i` send it"
            )

    @property
    def wake(self) -> int | None:
        """Readable when the cell was interrupted."""
        return self._signals.wake

    @contextmanager
    def guard(self, controls: Controls, *, tty: bool, proxy: bool) -> Iterator[None]:
        """Have an interrupt of the cell decided by `controls`."""
        self._controls = controls
        with self._signals.catching([signal.SIGINT]):
            yield

    def woken(self) -> None:
        """Hand on the interrupts that came."""
        for _ in self._signals.take():
            if self._controls is not None:
                self._controls.interrupt()

    def progress(self, title: str, *, aside: bool = False) -> Progress:
        """Return live bars in a notebook, one line in a terminal."""
        from . import progress

        if self._live:
            return progress.Bars(title)
        return progress.Line(title, sys.stderr if aside else sys.stdout)

    def show(self, listing: Listing[Any]) -> object:
        """Return the listing: the cell displays its last value."""
        listing.rich = self._rich
        return listing

    def show_aside(self, listing: Listing[Any]) -> None:
        """Display the listing at once."""
        from .dropped import display_listing

        self._flush(final=False)
        listing.rich = self._rich
        display_listing(listing)
