"""The process's own descriptors as the surface of a verb, for the command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .failures import Failure, Usage
from .scripted import Lines, Script
from .signals import Signals
from .surface import STDOUT, Kind, agreed, nobody

if TYPE_CHECKING:
    from .building.dockerfile import Source
    from .building.run import View
    from .building.steps import Build
    from .listening import Listening
    from .listing import Listing
    from .surface import Controls, Progress

_CHUNK = 1 << 16
_DETACH_KEYS = b"\x10\x11"  # Ctrl-P Ctrl-Q, as in the `docker` command
_PROXIED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGALRM")


class Keyboard:
    """Standard input, read when it is ready."""

    def __init__(self, detach_keys: bytes | None) -> None:
        self.descriptors = (sys.stdin.fileno(),)
        self.ready = False
        self._keys = detach_keys
        self._tail = b""
        self.detached = False

    def read(self) -> bytes:
        """Return what there is; notes whether it holds the keys that detach."""
        data = os.read(self.descriptors[0], _CHUNK)
        if self._keys:
            seen = self._tail + data
            self.detached = self.detached or self._keys in seen
            self._tail = seen[1 - len(self._keys) :]
        return data

    def close(self) -> None:
        """Do nothing: standard input is the process's own."""


class Terminal:
    """Writes to descriptors 1 and 2 byte by byte, reads descriptor 0, passes signals on."""

    program = "ipycontainer"
    shows_terminals = False  # it is one

    def __init__(self) -> None:
        self._signals = Signals()
        self._controls: Controls | None = None
        self._lines: Lines | None = None

    def say(self, text: str) -> None:
        """Print a line of result."""
        print(text, flush=True)

    def note(self, text: str) -> None:
        """Print a line about what goes on."""
        print(text, file=sys.stderr, flush=True)

    def ask(self, question: str) -> bool:
        """Ask on the terminal, or whatever standard input is."""
        try:
            return agreed(input(f"{question} [y/N] "))
        except EOFError:
            raise Usage("nobody answered: add -f to go on without a question") from None

    def question(self, prompt: str, *, hidden: bool) -> str:
        """Ask at the terminal, where what is hidden is not shown."""
        from getpass import getpass

        if not sys.stdin.isatty():
            raise nobody(prompt)
        try:
            return getpass(prompt) if hidden else input(prompt)
        except EOFError:
            raise nobody(prompt) from None

    def write(self, stream: int, data: memoryview) -> None:
        """Write bytes as they are."""
        while data:
            data = data[os.write(stream, data) :]

    def tick(self) -> float | None:
        """Do nothing: all is written already."""

    def flush(self) -> None:
        """Do nothing: all is written already."""

    def redirect(self, out: str | None, err: str | None) -> None:
        """Refuse: there are no variables here."""
        if out is not None or err is not None:
            raise Usage("--out and --err fill a notebook's variables; here write > FILE")

    def code(self) -> str:
        """Return all of standard input."""
        return sys.stdin.read()

    def script(self, lines: Sequence[str]) -> None:
        """Take what stands in for standard input."""
        self._lines = Lines(lines)

    @property
    def input(self) -> Kind:
        """Where input comes from."""
        return Kind.GIVEN if self._lines is None else Kind.SCRIPT

    def source(self, *, tty: bool, listening: Listening | None) -> Keyboard | Script:
        """Return standard input; with a terminal in the container it must be one too."""
        if self._lines is not None:
            return Script(self._lines, listening, tty=tty)
        if tty and not sys.stdin.isatty():
            raise Failure("the input device is not a TTY; leave -t away when input is piped")
        return Keyboard(_DETACH_KEYS if tty else None)

    @property
    def wake(self) -> int | None:
        """Readable when there are signals to pass on."""
        return self._signals.wake

    @contextmanager
    def guard(self, controls: Controls, *, tty: bool, proxy: bool) -> Iterator[None]:
        """Raw mode and window size for a tty, signals passed on with `proxy`."""
        raw = tty and self._lines is None and sys.stdin.isatty()
        numbers = [signal.Signals[name] for name in _PROXIED if hasattr(signal, name)]
        with ExitStack() as undo:
            self._controls = controls
            caught = numbers if proxy and not raw else []
            undo.enter_context(self._signals.catching([*caught, *_resizes(raw=raw)]))
            if raw:
                undo.enter_context(_raw_mode())
                # The first size is told when the relay begins: then the process is there.
                for number in _resizes(raw=raw):
                    self._signals.note(number)
            yield

    def woken(self) -> None:
        """Pass on the signals that came."""
        for number in self._signals.take():
            if number in _resizes(raw=True):
                self._resize()
            elif self._controls is not None:
                self._controls.signal(number)

    def _resize(self) -> None:
        size = os.get_terminal_size(STDOUT if os.isatty(STDOUT) else 0)
        if self._controls is not None and size.columns and size.lines:
            self._controls.resize(size.columns, size.lines)

    def progress(self, title: str, *, aside: bool = False) -> Progress:
        """Return one line that is redrawn, or plain lines where there is no terminal."""
        from . import progress

        return progress.Line(title, sys.stderr if aside else sys.stdout)

    def building(self, build: Build, dockerfile: Source, style: str) -> View:
        """Return lines, those of what runs redrawn in place where there is a terminal."""
        from .building.lines import view

        return view(build, dockerfile, sys.stderr, style)

    def show(self, listing: Listing[Any]) -> object:
        """Print the listing's text."""
        if text := listing.text():
            print(text, flush=True)
        return None

    def show_aside(self, listing: Listing[Any]) -> None:
        """Print the listing's text to standard error, so that the output stays the program's."""
        self.note(listing.text())


def _resizes(*, raw: bool) -> list[int]:
    """The signal that a terminal's window sends, where there is one."""
    return [signal.SIGWINCH] if raw and hasattr(signal, "SIGWINCH") else []


@contextmanager
def _raw_mode() -> Iterator[None]:
    """Give every key to the container; the terminal is as before when the block ends."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
