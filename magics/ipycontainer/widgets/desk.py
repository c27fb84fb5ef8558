"""A widget as the surface of a verb, and the thread in which a verb runs for it.

The verbs are those of the magic and of the command line. Everything here is called in the verb's
own thread but `interrupt` and `type_line`, which a button's callback calls.
"""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from ..failures import Failure, Interrupted, Usage, explain
from ..progress import Transfer, layer_state
from ..session import Session
from ..surface import STDERR, STDOUT, Kind, nobody
from .mailbox import Keys
from .parts import Summary, bad

if TYPE_CHECKING:
    from docker import DockerClient

    from ..building.dockerfile import Source
    from ..building.run import View
    from ..building.steps import Build
    from ..listening import Listening
    from ..listing import Listing
    from ..preferences import Preferences
    from ..surface import Controls, Progress
    from .parts import Bars

_BETWEEN_FLUSHES = 0.03
_BETWEEN_DRAWS = 0.1
PROGRAM = "%container"


class _Drawn:
    """A transfer's progress in a part."""

    def __init__(self, bars: Bars, title: str, stopped: Callable[[], bool]) -> None:
        self._bars, self._stopped = bars, stopped
        self._transfer = Transfer()
        self._drawn = 0.0
        bars.title, bars.rows, bars.summary = title, [], {}

    def update(self, entry: dict[str, Any]) -> None:
        """Take one object of the stream; raises KeyboardInterrupt where it is to end."""
        if self._stopped():
            raise KeyboardInterrupt
        self._transfer.update(entry)
        if time.monotonic() - self._drawn >= _BETWEEN_DRAWS:
            self._draw()

    def done(self, summary: str) -> None:
        """Leave all bars full, and say what was done."""
        self._draw()
        self._bars.summary = {"text": f"{summary} ({self._transfer.totals()})", "bad": False}

    def failed(self, reason: str) -> None:
        """Leave the bars as they are: the failure itself is told by the widget."""
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        layers = self._transfer.layers.values()
        self._bars.rows = [[one.name, layer_state(one), one.fraction] for one in layers]


class Desk:
    """One verb's way to a widget: what it prints goes to `shown`, its transfers to `bars`."""

    program = PROGRAM
    input = Kind.GIVEN
    shows_terminals = False  # a widget is where the output goes already

    def __init__(self, shown: Callable[[str], None], bars: Bars | None = None) -> None:
        self._shown, self._bars = shown, bars
        self._decoders = {
            stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (STDOUT, STDERR)
        }
        self._parts: list[str] = []
        self._flushed = 0.0
        self._controls: Controls | None = None
        self._stops = 0
        self.wake, self._waker = os.pipe()
        os.set_blocking(self.wake, False)
        self._lock = Lock()
        self._closed = False
        self._typed = Keys()

    def close(self) -> None:
        """Let the descriptors go; the verb has ended."""
        self._typed.close()
        with self._lock:
            self._closed = True
            for descriptor in (self.wake, self._waker):
                os.close(descriptor)

    def interrupt(self) -> None:
        """Do what interrupting a cell does; nothing once the verb has ended."""
        with self._lock:
            if not self._closed:
                self._stops += 1
                os.write(self._waker, b"!")

    def type_line(self, line: str) -> None:
        """Send the container a line."""
        self._typed.press(f"{line}\n".encode("utf-8", "replace"))

    def end_input(self) -> None:
        """Tell the container that no more input comes."""
        self._typed.end()

    def say(self, text: str) -> None:
        """Print a line of result."""
        self._show(f"{text}\n")

    def note(self, text: str) -> None:
        """Print a line about what goes on."""
        self._show(f"{text}\n")

    def _show(self, text: str) -> None:
        self.flush()
        self._shown(text)

    def ask(self, question: str) -> bool:
        """Refuse: a widget asks with its own buttons."""
        raise Usage(f"{question.splitlines()[0]} Add -f: nobody can be asked here")

    def question(self, prompt: str, *, hidden: bool) -> str:
        """Refuse, as `ask` does."""
        raise nobody(prompt)

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes of a container's stream."""
        self._parts.append(self._decoders[stream].decode(data))

    def tick(self) -> float | None:
        """Show what came, at most 30 times a second."""
        if not self._parts:
            return None
        wait = self._flushed + _BETWEEN_FLUSHES - time.monotonic()
        if wait > 0:
            return wait
        self.flush()
        return None

    def flush(self) -> None:
        """Show all that came."""
        self._flushed = time.monotonic()
        if text := "".join(self._parts):
            self._shown(text)
        self._parts.clear()

    def redirect(self, out: str | None, err: str | None) -> None:
        """Refuse: a widget fills no variables."""
        if out is not None or err is not None:
            raise Usage("--out and --err fill variables from a cell, not from a widget")

    def code(self) -> str:
        """Return nothing: a widget has no body."""
        return ""

    def script(self, lines: Sequence[str]) -> None:
        """Refuse: a widget has a field to type into."""
        raise Usage("--input is for cells and the command line; here lines are typed")

    def source(self, *, tty: bool, listening: Listening | None) -> Keys:
        """Return what the person types."""
        return self._typed

    @contextmanager
    def guard(self, controls: Controls, *, tty: bool, proxy: bool) -> Iterator[None]:
        """Have an interrupt decided by `controls`."""
        self._controls = controls
        yield
        self._controls = None

    def woken(self) -> None:
        """Hand on the interrupts that came."""
        with suppress(BlockingIOError):
            for _ in os.read(self.wake, 16):
                if self._controls is not None:
                    self._controls.interrupt()

    def progress(self, title: str, *, aside: bool = False) -> Progress:
        """Return the bars, where the widget has some."""
        from ..transfers import Quiet

        return Quiet() if self._bars is None else _Drawn(self._bars, title, lambda: self._stops > 0)

    def building(self, build: Build, dockerfile: Source, style: str) -> View:
        """Refuse: a build is a cell's."""
        raise Usage("a widget shows no build: write %%container build in a cell")

    def show(self, listing: Listing[Any]) -> object:
        """Return the listing to the widget that asked for it."""
        return listing

    def show_aside(self, listing: Listing[Any]) -> None:
        """Print the listing's text."""
        self.note(listing.text())


Ended = Callable[[object, Failure | None], None]


def engine_client() -> DockerClient:
    """Return a client for one thread: a connection of docker-py's is no thing to share."""
    from .. import connect

    return connect()


def failed(error: Exception) -> Summary:
    """Return what a part says of an error, in a person's words where there are some."""
    return bad(str(explain(error, PROGRAM) or error))


def begin(
    arguments: Sequence[str], desk: Desk, ended: Ended, prefer: Callable[[], Preferences]
) -> Thread:
    """Run a verb in a thread of its own; `ended` is called there with its value or its failure."""
    thread = Thread(
        target=_run, args=(list(arguments), desk, ended, prefer), daemon=True, name="ipycontainer"
    )
    thread.start()
    return thread


def _run(arguments: list[str], desk: Desk, ended: Ended, prefer: Callable[[], Preferences]) -> None:
    from ..verbs import invoke

    value: object = None
    failure: Failure | None = None
    try:
        with closing(engine_client()) as client:
            value = invoke(Session(desk, lambda: client, prefer=prefer), arguments)
    except KeyboardInterrupt:
        failure = Interrupted("interrupted before it was done")
    except Exception as error:
        failure = explain(error, PROGRAM) or Failure(f"a defect: {type(error).__name__}: {error}")
    finally:
        desk.flush()
        desk.close()
    ended(value, failure)
