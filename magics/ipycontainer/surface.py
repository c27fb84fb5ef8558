"""Where a verb's words and a container's bytes go: a cell, a terminal, or a widget.

A verb is written once against `Surface`, which is three things: `Voice` says and shows, `Inputs`
has what a program reads, and `Sink` takes what a container prints. `cell.Cell` writes into the
notebook's cell and reads the cell's body; `terminal.Terminal` is the process's own descriptors.
Life of one: the magic or the command line makes it, the verb writes to it, and the streams of a
container are relayed through it: `source()` is asked for once, `guard` is entered, then `write` and
`tick` are called in turns until the stream ends.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from .failures import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from .building.dockerfile import Source as Dockerfile
    from .building.run import View
    from .building.steps import Build
    from .listening import Listening, Question
    from .listing import Listing

STDOUT, STDERR = 1, 2


class Kind(Enum):
    """Where a container's input comes from."""

    GIVEN = auto()
    """A cell's body, or whatever standard input is."""
    SCRIPT = auto()
    """`--input`: a line at each question, where questions are told."""
    PERSON = auto()
    """A person who is asked; where questions are not told there is only an end."""


def agreed(answer: str) -> bool:
    """Tell whether an answer is yes, as the `docker` command reads it."""
    return answer.strip().lower() == "y"


def nobody(prompt: str) -> Usage:
    """Return the failure of a question that nobody is there to answer."""
    return Usage(
        f"{prompt.strip(': ')}: nobody can be asked here; in a notebook write -u NAME and"
        " -p {VARIABLE}, on the command line -u NAME and --password-stdin"
    )


class Source(Protocol):
    """A container's standard input, as it comes to be had."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait on before `read`."""
        ...

    @property
    def ready(self) -> bool:
        """Whether to read at once, though none of them says so."""
        ...

    def read(self) -> bytes | memoryview | None:
        """Return the next bytes; empty at the end, None while there are none."""
        ...

    @property
    def detached(self) -> bool:
        """Whether the person has typed the keys that leave the container running."""
        ...

    def close(self) -> None:
        """Let go of what it holds: nothing more is read."""


class Controls(Protocol):
    """What a person's signals and window do to a process in a container."""

    def resize(self, width: int, height: int) -> None:
        """Tell the process's terminal its size in characters."""

    def signal(self, number: int) -> None:
        """Pass a signal on to the process."""

    def interrupt(self) -> None:
        """Do what interrupting the cell means; may raise `Interrupted` to give up."""

    def refuse(self, question: Question) -> None:
        """End what waits for input where nobody can be asked; may raise the failure."""


class Progress(Protocol):
    """What a transfer looks like while it goes on."""

    def update(self, entry: dict[str, Any]) -> None:
        """Take one object of the engine's progress stream."""

    def done(self, summary: str) -> None:
        """Leave `summary` as the true, final text."""

    def failed(self, reason: str) -> None:
        """Leave `reason` as the true, final text."""


class Sink(Protocol):
    """Where a relay brings what a container says, and learns of a person's signals."""

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes of a container's standard output (1) or error (2)."""

    def tick(self) -> float | None:
        """Show what is due of the bytes taken; return the seconds until more is due."""
        ...

    def flush(self) -> None:
        """Show all the bytes taken: the stream has ended."""

    @property
    def wake(self) -> int | None:
        """A descriptor that is readable when `woken` should be called, if there is one."""
        ...

    def woken(self) -> None:
        """Hand the signals that came to the `controls` of the guard."""


class Voice(Protocol):
    """What a verb tells and shows a person, and asks him."""

    program: str
    """How a person calls a verb here, for help and cures: `%container` or `ipycontainer`."""

    def say(self, text: str) -> None:
        """Write one line of result, to standard output."""

    def note(self, text: str) -> None:
        """Write one line about what goes on, to standard error."""

    def ask(self, question: str) -> bool:
        """Ask for a yes; raises `Usage`, which names `-f`, where nobody can answer."""
        ...

    def question(self, prompt: str, *, hidden: bool) -> str:
        """Ask for a line, `hidden` for a secret; raises `Usage` where nobody can answer."""
        ...

    def progress(self, title: str, *, aside: bool = False) -> Progress:
        """Return the view of one transfer; `aside` when it is not what was asked for."""
        ...

    def building(self, build: Build, dockerfile: Dockerfile, style: str) -> View:
        """Return the view of one build; `style` is auto, plain, tty or quiet."""
        ...

    def show(self, listing: Listing[Any]) -> object:
        """Show a listing, or return it to be shown."""

    def show_aside(self, listing: Listing[Any]) -> None:
        """Show a listing beside what the verb returns or prints."""


class Inputs(Protocol):
    """What a program in a container reads."""

    def script(self, lines: Sequence[str]) -> None:
        """Take the values of `--input`, which stand in for every other input."""

    @property
    def input(self) -> Kind:
        """Where input would come from."""
        ...

    def code(self) -> str:
        """Return the program that a verb is to run: a cell's body, or standard input."""
        ...

    def source(self, *, tty: bool, listening: Listening | None) -> Source:
        """Return what a container with `-i` reads; `listening` tells when it wants to."""
        ...


class Surface(Voice, Inputs, Sink, Protocol):
    """One verb's way to the person."""

    @property
    def shows_terminals(self) -> bool:
        """Whether a container's terminal is shown as one that lives on when the verb has ended."""
        ...

    def redirect(self, out: str | None, err: str | None) -> None:
        """Send the streams to the notebook's variables of these names instead."""

    def guard(self, controls: Controls, *, tty: bool, proxy: bool) -> AbstractContextManager[None]:
        """Give the terminal, and with `proxy` the signals, to a container until the block ends."""
        ...
