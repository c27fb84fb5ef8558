"""A build as lines: a terminal's last lines are redrawn, and what is done stays above them.

Into a pipe, or a cell that shows text, every line of output comes as it is made, with the number of
its step before it, as BuildKit's plain progress has it.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, TextIO

from ..failures import one_line
from ..units import counted
from .dockerfile import Source
from .page import failed_lines, warned_lines
from .steps import CACHED, ENDED, FAILED, RUNNING, Build, Step

if TYPE_CHECKING:
    from .failed import Report
    from .run import View

_BETWEEN_DRAWS = 0.1
_TAIL = 4
_RUNNING = 6  # steps that are drawn at once
_WORDS = {CACHED: "CACHED", FAILED: "ERROR"}


def view(build: Build, source: Source, stream: TextIO, style: str) -> View:
    """Return the view that `--progress` names; `auto` is what the stream can show."""
    if style == "quiet":
        return Quiet()
    if style == "tty" or (style == "auto" and stream.isatty()):
        return Screen(build, source, stream)
    return Plain(build, source, stream)


class Quiet:
    """Shows nothing: the image's id is what is said in the end."""

    def sending(self, told: str) -> None:
        """Ignore how much was sent."""

    def update(self, step: Step | None) -> None:
        """Ignore what goes on."""

    def tick(self) -> None:
        """Ignore the time."""

    def done(self, summary: str) -> None:
        """Ignore what was done."""

    def failed(self, report: Report) -> None:
        """Ignore what failed: the failure is raised as well."""


class Plain:
    """A line for each thing that happens."""

    def __init__(self, build: Build, source: Source, stream: TextIO) -> None:
        self._build, self._source, self._stream = build, source, stream
        self._numbers: dict[str, int] = {}
        self._printed: dict[str, int] = {}
        self._ended: set[str] = set()
        self._warned = 0

    def sending(self, told: str) -> None:
        """Say nothing until the context is all there."""

    def tick(self) -> None:
        """Say nothing: nothing is new."""

    def update(self, step: Step | None) -> None:
        """Write what is new of a step."""
        self._write(*self._warnings())
        if step is None or not (step.state == RUNNING or step.state in ENDED):
            return
        number = self._numbers.get(step.id)
        if number is None:
            number = self._numbers[step.id] = len(self._numbers) + 1
            self._write(f"#{number} {step.label} {step.title}")
        ended = step.state in ENDED
        self._output(step, number, ended=ended)
        if ended and step.id not in self._ended:
            self._ended.add(step.id)
            self._write(f"#{number} {_WORDS.get(step.state) or f'DONE {step.told()}'}", "")

    def _warnings(self) -> list[str]:
        """Return the lines of the warnings that are new."""
        fresh = self._build.warnings[self._warned :]
        self._warned = len(self._build.warnings)
        return [line for warning in fresh for line in warned_lines(warning, self._source)]

    def _output(self, step: Step, number: int, *, ended: bool) -> None:
        fresh = step.log.count - self._printed.get(step.id, 0)
        lines = step.log.tail()
        whole = len(lines) - bool(step.log.unfinished)
        shown = lines[max(whole - fresh, 0) : None if ended else whole]
        self._printed[step.id] = step.log.count
        if shown and not (ended and step.id in self._ended):
            self._write(*(f"#{number} {line}" for line in shown))

    def done(self, summary: str) -> None:
        """Write what was done."""
        self._write(summary)

    def failed(self, report: Report) -> None:
        """Write what went wrong where; the headline is the command's own error."""
        self._write(*list(failed_lines(report))[1:])

    def _write(self, *lines: str) -> None:
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


class Screen(Plain):
    """A terminal: what runs is redrawn in place with the end of its output."""

    def __init__(self, build: Build, source: Source, stream: TextIO) -> None:
        super().__init__(build, source, stream)
        self._height = 0
        self._drawn = 0.0
        self._sending = ""

    def sending(self, told: str) -> None:
        """Draw how much of the context was sent."""
        self._sending = f"Sending the context: {told}"
        self.tick()

    def update(self, step: Step | None) -> None:
        """Write what is done above what runs."""
        self._sending = ""
        lines = self._warnings()
        if step is not None and step.state in ENDED and step.id not in self._ended:
            self._ended.add(step.id)
            told = _WORDS.get(step.state, step.told())
            lines.append(self._fitted(f"{step.label} {step.title}", told))
        if lines:
            self._write(*lines)
        self.tick()

    def tick(self) -> None:
        """Redraw what runs, at most ten times a second."""
        now = time.monotonic()
        if now - self._drawn < _BETWEEN_DRAWS:
            return
        self._drawn = now
        self._write()
        lines = self._running()
        self._height = len(lines)
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()

    def _running(self) -> list[str]:
        steps = [step for step in self._build.steps.values() if step.state == RUNNING]
        found = []
        for step in steps[:_RUNNING]:
            found.append(self._fitted(f"{step.label} {step.title}", step.told()))
            tail = step.log.tail(_TAIL)
            found += [f"\x1b[2m{self._fitted(f'  | {line}', '')}\x1b[0m" for line in tail]
        if len(steps) > _RUNNING:
            found.append(f"and {counted(len(steps) - _RUNNING, 'step')} more")
        if self._sending:
            found.append(self._fitted(self._sending, ""))
        return found

    def _fitted(self, text: str, right: str) -> str:
        """Return one line that is no longer than the terminal is wide."""
        width = max(shutil.get_terminal_size().columns - 1, 20)
        room = width - len(right) - bool(right)
        text = one_line(text)
        text = text if len(text) <= room else f"{text[: room - 1]}…"
        return f"{text:{room}} {right}" if right else text

    def _write(self, *lines: str) -> None:
        above = f"\x1b[{self._height}F\x1b[J" if self._height else ""
        self._height = 0
        self._stream.write(above)
        super()._write(*lines)
