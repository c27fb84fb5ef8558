"""How a kernel's container ended, in a person's words."""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass
from typing import Final

from ipycontainer.failures import one_line
from ipycontainer.units import binary_size

_KEPT = 20
_LONGEST = 300
_NO_ROOM: Final = (
    ": so ends who writes to a file in memory for which the disk, or /dev/shm, has no room;"
    " free some, and restart the kernel"
)
_FULL: Final = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True)
class Fate:
    """The exit code of a kernel's container, and what is known of why."""

    code: int
    fault: str | None = None
    """oom, killed, timeout, gone (nobody saw it end) or None."""
    signal: int = 0
    memory: int = 0
    """The limit in bytes; 0 is none."""
    peak: int = 0
    """The most memory that it had, in bytes; 0 where nobody knows."""
    said: tuple[str, ...] = ()
    """The last lines that it wrote."""

    @property
    def well(self) -> bool:
        """Whether it ended by itself, as a kernel does that is asked to."""
        return self.code == 0 and self.fault is None

    @property
    def words(self) -> str:
        """Why it ended, in one line."""
        if self.fault == "oom":
            return self._out_of_memory()
        if full := next((line for line in self.said if any(s in line for s in _FULL)), None):
            return f"the disk is full: {full}; free some, and restart the kernel"
        if self.fault == "gone":
            return "the kernel's container was removed by somebody else"
        if self.fault == "killed" or self.code > 128:
            number = self.signal or self.code - 128
            why = _NO_ROOM if number == signal.SIGBUS else ""
            return f"the kernel was killed by signal {number}{_name(number)}{why}"
        if self.fault == "timeout":
            return "the kernel's container ran longer than its timeout"
        last = f": {self.said[-1]}" if self.said and self.code else ""
        return f"the kernel exited with code {self.code}{last}"

    def _out_of_memory(self) -> str:
        limit = f" its limit of {binary_size(self.memory)}" if self.memory else " the machine's"
        peak = f" (it had {binary_size(self.peak)} at most)" if self.peak else ""
        return (
            f"the kernel ran out of memory: it passed{limit}{peak} and was killed; "
            "`kernel update NAME --memory SIZE` gives it more"
        )


class LastWords:
    """Keeps the last lines that a container wrote, as a person may safely see them."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take some bytes and return the lines that they complete."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_LONGEST:]
        told = [one_line(line.decode(errors="replace"))[:_LONGEST] for line in lines]
        found = [line for line in told if line]
        self._lines.extend(found)
        return found

    @property
    def lines(self) -> tuple[str, ...]:
        """The last of them."""
        return tuple(self._lines)


def _name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""
