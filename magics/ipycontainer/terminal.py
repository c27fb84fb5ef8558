"""The process's own descriptors as the surface of a verb, for the command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .failures import Failure, Usage
from .surface import STDOUT

if TYPE_CHECKING:
    from .listing import Listing
    from .surface import Controls, Progress

_CHUNK = 1 << 16
_DETACH_KEYS = b"\x10\x11"  # Ctrl-P Ctrl-Q, as in the `docker` command
_PROXIED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGALRM")


class Keyboard:
    """Standard input, read when it is ready."""

    def __init__(self, detach_keys: bytes | None) -> None:
        self.descriptor = sys.stdin.fileno()
        self._keys = detach_keys
        self._tail = b""
        self.detached = False

    def read(self) -> bytes:
        """Return what there is; notes whether it holds the keys that detach."""
        data = os.read(self.descriptor, _CHUNK)
        if self._keys:
            seen = self._tail + data
            self.detached = self.detached or self._keys in seen
            self._tail = seen[1 - len(self._keys) :]
        return data


class Terminal:
    """Writes to descriptors 1 and 2 byte by byte, reads descriptor 0, passes signals on."""

    program = "ipycontainer"
    offers_input = True

    def __init__(self) -> None:
        self.wake: int | None = None
        self._caught: list[int] = []
        self._controls: Controls | None = None

    def say(self, text: str) -> None:
        """Print a line of result."""
        print(text, flush=True)

    def note(self, text: str) -> None:
        """Print a line about what goes on."""
        print(text, file=sys.stderr, flush=True)

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

    def source(self, *, tty: bool) -> Keyboard:
        """Return standard input; with a terminal in the container it must be one too."""
        if tty and not sys.stdin.isatty():
            raise Failure("the input device is not a TTY; leave -t away when input is piped")
        return Keyboard(_DETACH_KEYS if tty else None)

    def guard(self, controls: Controls, *, tty: bool, proxy: bool) -> AbstractContextManager[None]:
        """Raw mode and window size for a tty, signals passed on with `proxy`."""
        return self._guarded(controls, tty=tty and sys.stdin.isatty(), proxy=proxy)

    @contextmanager
    def _guarded(self, controls: Controls, *, tty: bool, proxy: bool) -> Iterator[None]:
        numbers = [signal.Signals[name] for name in _PROXIED if hasattr(signal, name)]
        with ExitStack() as undo:
            self._controls = controls
            undo.enter_context(self._woken_by(numbers if proxy and not tty else [], resize=tty))
            if tty:
                undo.enter_context(_raw_mode())
                self._resize()
            yield

    @contextmanager
    def _woken_by(self, numbers: list[signal.Signals], *, resize: bool) -> Iterator[None]:
        # A handler runs between any two bytecodes, also inside docker-py's locks; so it only notes
        # the signal, and the pipe wakes the relay, which passes it on.
        caught = [*numbers, *([signal.SIGWINCH] if resize else [])]
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before = {number: signal.signal(number, self._catch) for number in caught}
        previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.wake = reader
        try:
            yield
        finally:
            self.wake = None
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def _catch(self, number: int, frame: object) -> None:
        self._caught.append(number)

    def woken(self) -> None:
        """Pass on the signals that came."""
        if self.wake is not None:
            os.read(self.wake, _CHUNK)
        while self._caught:
            number = self._caught.pop(0)
            if number == getattr(signal, "SIGWINCH", None):
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

    def show(self, listing: Listing[Any]) -> object:
        """Print the listing's text."""
        if text := listing.text():
            print(text, flush=True)
        return None


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
