"""A notebook's cell as the surface of a verb: its output areas, its body, its interrupts."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .bounded import VARIABLE, Bounded, Rest
from .failures import Usage
from .preferences import OUTPUT_LINES
from .scripted import END_OF_INPUT, Given, Lines, Script
from .signals import Signals
from .sinks import Echo, Filled, Shown
from .surface import STDERR, STDOUT, Kind, agreed, nobody

if TYPE_CHECKING:
    from .building.dockerfile import Source as Dockerfile
    from .building.run import View
    from .building.steps import Build
    from .kept import Output
    from .listening import Listening, Question
    from .listing import Listing
    from .surface import Controls, Progress, Source

# Jupyter's server drops output beyond 1000 messages a second; two streams at this rate make 100.
_BETWEEN_FLUSHES = 0.02


class Cell:
    """Writes into the cell that runs; reads the cell's body.

    `live` says whether the front end can redraw an output, as notebooks can and terminals cannot;
    `rich` whether the person wants to see tables rather than text. `kernel` is ipykernel's, if
    there is one: it has the channel by which a person is asked.
    """

    program = "%container"

    def __init__(
        self,
        body: str | None,
        *,
        live: bool,
        rich: bool,
        kernel: Any = None,
        lines: int = OUTPUT_LINES,
    ) -> None:
        self._body = body
        self._unread = bool(body and body.strip())
        self._lines: Lines | None = None
        self._kernel = kernel
        self._live = live
        self._rich = rich
        self._most = lines
        self._bounded = Bounded(lines)
        self._rest: Rest | None = None
        self._ended = False
        # Looked up now: `%%capture` and redirect_stdout put their own streams in place.
        self._sinks: dict[int, Shown | Filled] = {
            STDOUT: Shown(sys.stdout, self._bounded),
            STDERR: Shown(sys.stderr, self._bounded),
        }
        self._variables: dict[str, Filled] = {}
        self._build: Build | None = None
        self._echo = Echo()
        self._signals = Signals()
        self._controls: Controls | None = None
        self._dirty = False
        self._flushed = self._told = 0.0

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

    def question(self, prompt: str, *, hidden: bool) -> str:
        """Ask in the box under the cell; what is typed is no part of the notebook."""
        from getpass import getpass

        from IPython.core.error import StdinNotImplementedError

        if self._kernel is None and not sys.stdin.isatty():
            raise nobody(prompt)  # getpass would read what is there, and show it
        try:
            return getpass(prompt) if hidden else input(prompt)
        except (EOFError, OSError, StdinNotImplementedError):
            raise nobody(prompt) from None

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes of a container's stream; they are decoded before this returns."""
        self._sinks[stream].write(self._echo.filter(data) if stream == STDOUT else data)
        self._dirty = True

    def tick(self) -> float | None:
        """Show what came, at most 50 times a second."""
        if self._dirty:
            wait = self._flushed + _BETWEEN_FLUSHES - time.monotonic()
            if wait > 0:
                return wait
            self._flush(final=False)
        due = min((sink.due for sink in self._shown() if sink.held), default=None)
        if due is not None and due <= 0:
            self._flush(final=False)
            return None
        return due

    def _shown(self) -> list[Shown]:
        return [sink for sink in self._sinks.values() if isinstance(sink, Shown)]

    def flush(self) -> None:
        """Show all that came."""
        self._flush(final=True)

    def _flush(self, *, final: bool) -> None:
        self._dirty = False
        self._flushed = time.monotonic()
        for sink in self._sinks.values():
            sink.flush(final=final)
        if self._bounded.output is not None:
            self._show_rest(final=final)

    def _show_rest(self, *, final: bool) -> None:
        """Tell of what is not shown: where an output can be redrawn at most each second."""
        if self._ended:
            return
        self._ended = final
        if not self._live:
            if final:
                self.say(f"{self._bounded.told()}\n{self._bounded.ending()}")
            return
        if self._rest is None:
            self._rest = Rest(self._bounded, pages=self._attended)
        if final or self._flushed - self._told >= 1:
            self._told = self._flushed
            self._rest.show(final=final)

    def redirect(self, out: str | None, err: str | None) -> None:
        """Fill variables of the notebook; the same name for both takes them as they come."""
        for stream, name in ((STDOUT, out), (STDERR, err)):
            if name is not None:
                if not name.isidentifier():
                    raise Usage(f"{name!r} is no name for a variable")
                self._sinks[stream] = self._variables.setdefault(name, Filled())

    def variables(self) -> dict[str, str | bytes | Output]:
        """Return what `--out` and `--err` have filled, and the whole of an output that was cut."""
        filled: dict[str, str | bytes | Output] = {
            name: variable.value() for name, variable in self._variables.items()
        }
        if self._bounded.output is not None:
            filled[VARIABLE] = self._bounded.output
        elif self._build is not None and self._build.output is not None:
            filled[VARIABLE] = self._build.output
        return filled

    @property
    def _attended(self) -> bool:
        """Whether the front end has somebody to ask; what runs a notebook by itself says not."""
        return bool(getattr(self._kernel, "_allow_stdin", False))

    @property
    def shows_terminals(self) -> bool:
        """Whether there is a person at a notebook who gave neither input nor a variable to fill."""
        return self._live and self._attended and self.input is Kind.PERSON and not self._variables

    def code(self) -> str:
        """Return the cell's body after an empty line, so that its lines have the cell's numbers."""
        self._unread = False
        return f"\n{self._body}" if self._body else ""

    def script(self, lines: Sequence[str]) -> None:
        """Take the values of `--input`; a body is another input, so it is refused."""
        if self._body is not None:
            raise Usage("--input and the cell's body are two inputs: leave one of them away")
        self._lines = Lines(lines)

    @property
    def input(self) -> Kind:
        """Where input comes from; IPython's own terminal is read as it is."""
        if self._lines is not None:
            return Kind.SCRIPT
        typed = self._kernel is None and sys.stdin is not None and sys.stdin.isatty()
        return Kind.GIVEN if typed or self._body is not None else Kind.PERSON

    def source(self, *, tty: bool, listening: Listening | None) -> Source:
        """Return the lines of `--input`, the cell's body, or the person as standard input."""
        if self._lines is not None:
            return Script(self._lines, listening, tty=tty)
        if self.input is Kind.GIVEN and self._body is None:
            from .terminal import Keyboard

            return Keyboard(None)
        if self._body is not None or listening is None:
            self._unread = False
            text = (self._body or "").encode("utf-8", "surrogateescape")
            return Given(text + (END_OF_INPUT if tty else b""))
        from .asking import Asking, FrontEnd

        asked = FrontEnd(self._kernel) if self._attended else None
        for sink in self._shown():
            sink.holds = asked is not None
        return Asking(self, listening, asked, tty=tty)

    def prompt(self, line: str) -> tuple[str, str]:
        """Return what to ask with, and what of it was held back: the box shows it instead.

        That is the line that was not finished, if it is not shown already.
        """
        self._dirty = False
        held = "".join([sink.question() for sink in self._shown()])
        seen = [sink.asked() for sink in self._shown()]
        return held or ("" if any(seen) else line), held

    def drop_echo(self, data: bytes) -> None:
        """Leave out what a terminal echoes of an answer: the box has shown it."""
        self._echo.expect(data)

    def refuse(self, question: Question) -> None:
        """Have what waits for input ended: nobody can be asked."""
        if self._controls is not None:
            self._controls.refuse(question)

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

    def building(self, build: Build, dockerfile: Dockerfile, style: str) -> View:
        """Return a page in a notebook, lines elsewhere; `_output` has all that the steps print."""
        from .building.lines import view
        from .building.page import Page

        self._build = build
        if not self._live or style not in ("auto", "tty"):
            return view(build, dockerfile, sys.stdout, style)
        from .widgets.bundles import publisher

        return Page(build, dockerfile, publisher, self._most)

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
