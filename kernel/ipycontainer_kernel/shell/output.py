"""A cell of the shell kernel: where what it prints goes, and who is asked for its input."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from ipycontainer.bounded import LAST_LINES, Bounded
from ipycontainer.failures import Failure, one_line
from ipycontainer.preferences import OUTPUT_LINES
from ipycontainer.sinks import Shown
from ipycontainer.surface import STDERR, STDOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipycontainer.listening import Question

# Jupyter's server drops output beyond 1000 messages a second.
_BETWEEN_FLUSHES: Final = 0.02
_LONGEST_QUESTION: Final = 60
# An interactive bash complains when a command that was killed has left it no terminal to mend.
_NO_TERMINAL: Final = re.compile(
    rb"bash: \[\d+: \d+ \(\d+\)\] tcsetattr: Inappropriate ioctl for device\n"
)


class _Stream:
    """One of Jupyter's two streams."""

    def __init__(self, name: str, send: Callable[[str, str], object]) -> None:
        self._name = name
        self._send = send

    def write(self, text: str) -> None:
        """Send it at once: who writes here has waited already."""
        self._send(self._name, text)

    def flush(self) -> None:
        """Do nothing: all is sent."""


class CellOutput:
    """Shows both streams as they come, bounded, and keeps back a line that may be a question.

    `send` takes stdout or stderr, and text. `refused` has the failure when something waits for
    input and nobody can be asked.
    """

    def __init__(self, send: Callable[[str, str], object]) -> None:
        self._send = send
        self._bounded = Bounded(OUTPUT_LINES)
        self._sinks = {
            STDOUT: Shown(_Stream("stdout", send), self._bounded),
            STDERR: Shown(_Stream("stderr", send), self._bounded),
        }
        self._dirty = False
        self._flushed = 0.0
        self.refused: Failure | None = None

    def holds(self) -> None:
        """Keep unfinished lines back from now on: a person can be asked."""
        for sink in self._sinks.values():
            sink.holds = True

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes of the cell's output."""
        if stream == STDERR:
            data = memoryview(_NO_TERMINAL.sub(b"", data))
        if data:
            self._sinks[stream].write(data)
            self._dirty = True

    def tick(self) -> float | None:
        """Show what came, at most 50 times a second; return the seconds until more is due."""
        if self._dirty:
            wait = self._flushed + _BETWEEN_FLUSHES - time.monotonic()
            if wait > 0:
                return wait
            self._flush(final=False)
        due = min((sink.due for sink in self._sinks.values() if sink.held), default=None)
        if due is not None and due <= 0:
            self._flush(final=False)
            return None
        return due

    def flush(self) -> None:
        """Show all that came."""
        self._flush(final=True)

    def finish(self) -> None:
        """Show all that came, and where it was too much, its end."""
        self.flush()
        bounded = self._bounded
        if bounded.output is None:
            return
        self._send(
            "stdout",
            f"[{bounded.hidden_lines:,} more lines ({bounded.hidden_bytes:,} bytes) are not shown:"
            f" send them to a file to have them; the last {LAST_LINES}:]\n{bounded.ending()}\n",
        )

    def _flush(self, *, final: bool) -> None:
        self._dirty = False
        self._flushed = time.monotonic()
        for sink in self._sinks.values():
            sink.flush(final=final)

    def note(self, text: str) -> None:
        """Print a line about what goes on."""
        self._flush(final=False)
        self._send("stderr", f"{text}\n")

    def prompt(self, line: str) -> tuple[str, str]:
        """Return what to ask with, and what of it was held back: the box shows it instead."""
        self._dirty = False
        held = "".join([sink.question() for sink in self._sinks.values()])
        seen = [sink.asked() for sink in self._sinks.values()]
        return held or ("" if any(seen) else line), held

    def drop_echo(self, data: bytes) -> None:
        """Do nothing: there is no terminal that would repeat what is typed."""

    def refuse(self, question: Question) -> None:
        """Take note that what waits for input is to be ended."""
        line = one_line(question.line)
        asks = f" ({line[-_LONGEST_QUESTION:]!r})" if line else ""
        who = one_line(question.process) or "a process"
        self.refused = Failure(
            f"{who} waits for input{asks}, and nobody can be asked here: give it with `<FILE`,"
            " `<<END` or a pipe"
        )
