"""Where a verb's words and a container's bytes go: a cell, or a terminal.

A verb is written once against `Surface`. `cell.Cell` writes into the notebook's cell and reads the
cell's body; `terminal.Terminal` is the process's own descriptors. Life of one: the magic or the
command line makes it, the verb writes to it, and the streams of a container are relayed through it:
`source()` is asked for once, then `write` and `tick` are called in turns until the stream ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .listing import Listing

STDOUT, STDERR = 1, 2


class Source(Protocol):
    """A container's standard input, as it comes to be had."""

    @property
    def descriptor(self) -> int | None:
        """What to wait on before `read`; None when reading never waits."""

    def read(self) -> bytes | memoryview:
        """Return the next bytes; empty at the end."""

    @property
    def detached(self) -> bool:
        """Whether the person has typed the keys that leave the container running."""


class Progress(Protocol):
    """What a transfer looks like while it goes on."""

    def update(self, entry: dict[str, Any]) -> None:
        """Take one line of the engine's progress stream."""

    def done(self, summary: str) -> None:
        """Leave `summary` as the true, final text."""

    def failed(self, reason: str) -> None:
        """Leave `reason` as the true, final text."""


class Surface(Protocol):
    """One verb's way to the person."""

    program: str
    """How a person calls a verb here, for help and cures: `%container` or `ipycontainer`."""

    def say(self, text: str) -> None:
        """Write one line of result, to standard output."""

    def note(self, text: str) -> None:
        """Write one line about what goes on, to standard error."""

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes of a container's standard output (1) or error (2)."""

    def tick(self) -> float | None:
        """Show what is due of the bytes taken; return the seconds until more is due."""

    def redirect(self, out: str | None, err: str | None) -> None:
        """Send the streams to the notebook's variables of these names instead."""

    def source(self, *, tty: bool) -> Source:
        """Return what a container with `-i` reads."""

    def terminal(self, resize: Any) -> AbstractContextManager[None]:
        """Give the terminal to a container with `-t`; `resize(width, height)` tells its size."""

    def signals(self) -> AbstractContextManager[Iterable[int]]:
        """Catch what should reach the container; iterating gives the signals caught since."""

    def progress(self, verb: str, name: str) -> Progress:
        """Return the view of one pull, push or capture."""

    def show(self, listing: Listing[Any]) -> object:
        """Show a listing, or return it to be shown."""
