"""What a build has said so far: its steps, their state, their time and the end of their logs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..failures import one_line
from ..kept import Output
from ..plain import Plain, settled
from ..progress import Transfer
from ..units import counted, decimal_size

LINES = 500
"""How many lines of one step's log are kept to be shown; `_output` has all of them."""
WIDTH = 2000
_UNFINISHED = 1 << 16

NAMELESS = "stage-{}"
"""A stage without a name has its number, counted from 0."""

WAITING, RUNNING, CACHED, DONE, FAILED = "waiting", "running", "cached", "done", "failed"
ENDED = frozenset({CACHED, DONE, FAILED})


class Log:
    """A step's output as lines without escapes; a bar drawn over is one line."""

    def __init__(self) -> None:
        self._plain = Plain()
        self._open = ""
        self._lines: deque[str] = deque(maxlen=LINES)
        self.count = 0
        """Of the lines that came, more than are kept."""

    def feed(self, text: str) -> list[str]:
        """Take what was printed; return the lines that it ended."""
        whole, newline, self._open = (self._open + self._plain.feed(text)).rpartition("\n")
        if len(self._open) > _UNFINISHED:
            self._open = settled(self._open)[-WIDTH:]
        lines = [settled(line).rstrip("\r") for line in whole.split("\n")] if newline else []
        self.count += len(lines)
        self._lines.extend(_cut(line) for line in lines)
        return lines

    def tail(self, count: int = LINES) -> list[str]:
        """Return the last lines, the unfinished one too."""
        last = self.unfinished
        lines = [*self._lines, last] if last else list(self._lines)
        return lines[-count:] if count else []

    def hidden(self, shown: int) -> int:
        """Return how many lines came before the last `shown`."""
        return max(self.count + bool(self.unfinished) - shown, 0)

    @property
    def unfinished(self) -> str:
        """The line that has no end yet."""
        return _cut(settled(self._open).rstrip())


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…"


@dataclass
class Step:
    """One step; `first` and `last` are its lines in the Dockerfile, 0 where nobody has told."""

    id: str
    stage: str = ""
    number: int = 0
    total: int = 0
    name: str = ""
    first: int = 0
    last: int = 0
    state: str = WAITING
    seconds: float = 0.0
    size: int = 0
    log: Log = field(default_factory=Log)
    transfer: Transfer | None = None
    began: float = 0.0

    @property
    def label(self) -> str:
        """Where it stands: `[build 2/5]`."""
        # The first stage is most often the only one, and has seldom a name.
        name = "" if self.stage == NAMELESS.format(0) else self.stage
        return f"[{one_line(f'{name} {self.place}'.strip())}]"

    @property
    def place(self) -> str:
        """Where it stands among all: `2/5`."""
        return f"{self.number}/{self.total}"

    @property
    def title(self) -> str:
        """The instruction on one line."""
        return one_line(self.name)

    @property
    def took(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self.began if self.state == RUNNING else self.seconds

    def told(self) -> str:
        """Say its state with its time, as the views show it: `cached`, `3.1 s, 12MB`."""
        if self.state in (WAITING, CACHED):
            return self.state
        parts = [clock(self.took)]
        if self.state == RUNNING and self.transfer is not None:
            parts.append(moved(self.transfer))
        if self.state == FAILED:
            parts.insert(0, FAILED)
        if self.state == DONE and self.size:
            parts.append(decimal_size(self.size))
        return ", ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """Write the time of a step: `0.3 s`, `2 min 5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def moved(transfer: Transfer) -> str:
    """Say how far a pull in a step is."""
    layers = transfer.layers.values()
    if not layers:
        return one_line(transfer.last)
    done = sum(layer.done for layer in layers)
    return f"{done} of {counted(len(layers), 'layer')}"


@dataclass(frozen=True)
class Warned:
    """A warning, with its lines in the Dockerfile (0 where it has none)."""

    message: str
    first: int = 0
    last: int = 0
    text: str = ""


class Build:
    """All that the messages of one build have said. `update` takes them as they come."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.steps: dict[str, Step] = {}
        self.warnings: list[Warned] = []
        self.image = ""
        self.failed: dict[str, Any] | None = None
        self.output: Output | None = None
        """All that the steps have printed, once there is something."""
        self._started = time.monotonic()

    @property
    def stages(self) -> dict[str, list[Step]]:
        """The steps of each stage, in the order in which they were told of."""
        found: dict[str, list[Step]] = {}
        for step in self.steps.values():
            found.setdefault(step.stage, []).append(step)
        return found

    @property
    def took(self) -> float:
        """Seconds since the build was asked for."""
        return time.monotonic() - self._started

    def update(self, entry: Mapping[str, Any]) -> Step | None:
        """Take one message; return the step that it was about."""
        if "error" in entry:
            return self._fail(entry)
        if isinstance(aux := entry.get("aux"), Mapping):
            self.image = str(aux.get("ID") or self.image)
        if isinstance(warning := entry.get("warning"), Mapping):
            self.warnings.append(_warned(warning))
        told = entry.get("step")
        if not isinstance(told, Mapping):
            return None
        step = self._known(told)
        if "stream" in entry:
            self._print(step, str(entry["stream"]))
        elif "status" in entry:
            step.transfer = step.transfer or Transfer()
            step.transfer.update(dict(entry))
        return step

    def _known(self, told: Mapping[str, Any]) -> Step:
        """Return the step, with what is new of it."""
        step = self.steps.setdefault(str(told["id"]), Step(str(told["id"])))
        for name in ("stage", "name"):
            if name in told:
                setattr(step, name, str(told[name] or ""))
        for name in ("number", "total", "first", "last", "size"):
            if name in told:
                setattr(step, name, int(told[name] or 0))
        state = str(told.get("state", step.state))
        if state == RUNNING and step.state != RUNNING:
            step.began = time.monotonic()
        if state in ENDED and step.state == RUNNING:
            step.seconds = step.took
        step.state = state
        if "seconds" in told:
            step.seconds = float(told["seconds"] or 0.0)
        return step

    def _print(self, step: Step, text: str) -> None:
        for line in step.log.feed(text):
            self.output = self.output or Output()
            self.output.append(f"{step.label} {line}\n")

    def _fail(self, entry: Mapping[str, Any]) -> Step | None:
        detail = dict(entry.get("errorDetail") or {})
        detail.setdefault("message", entry["error"])
        self.failed = detail
        step = self.steps.get(str(detail.get("step") or ""))
        if step is not None and step.state != FAILED:
            step.seconds = step.took
            step.state = FAILED
        return step

    def summary(self) -> str:
        """Say how many steps there were, how many of them were reused, and the time."""
        cached = sum(step.state == CACHED for step in self.steps.values())
        ended = sum(step.state in ENDED for step in self.steps.values())
        reused = f", {cached} reused" if cached else ""
        return f"{counted(ended, 'step')}{reused}, {clock(self.took)}"


def _warned(told: Mapping[str, Any]) -> Warned:
    return Warned(
        one_line(str(told.get("message") or "")),
        int(told.get("first") or 0),
        int(told.get("last") or 0),
        str(told.get("text") or ""),
    )
