"""A Dockerfile as a person has written it: its text, where that stands, and what it names.

The reader is the engine's own, which is pure; what it cannot read it has nothing to tell about, and
the engine says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..failures import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipycontainer_runtime.build.instructions import Instruction
    from ipycontainer_runtime.build.parse import Dockerfile

_AROUND = 2
_SHOWN = 12


@dataclass(frozen=True)
class Line:
    """A line to be shown; `marked` where something is wrong with it."""

    number: int
    text: str
    marked: bool


@dataclass(frozen=True)
class Source:
    """A Dockerfile's text; `offset` lines stand before it in what a person calls `name`."""

    text: str
    name: str
    offset: int = 0

    def place(self, first: int, last: int = 0) -> str:
        """Say where an instruction stands: `line 4 of the cell`; nothing where nobody knows."""
        if not first:
            return ""
        first, last = first + self.offset, max(first, last) + self.offset
        lines = f"line {first}" if first == last else f"lines {first}-{last}"
        return f"{lines} of {self.name}"

    def excerpt(self, first: int, last: int = 0) -> list[Line]:
        """Return these lines, marked, with those around them; the middle of many is left out."""
        if not (first and self.text):
            return []
        lines, last = self.text.split("\n"), max(first, last)
        begin, end = max(first - _AROUND, 1), min(last + _AROUND, len(lines))
        found = [
            Line(number + self.offset, lines[number - 1], first <= number <= last)
            for number in range(begin, end + 1)
        ]
        while found and not (found[-1].marked or found[-1].text.strip()):
            found.pop()
        if len(found) > _SHOWN:
            half = _SHOWN // 2
            gap = Line(0, f"… {len(found) - 2 * half} lines", True)
            found[half:-half] = [gap]
        return found

    @cached_property
    def read(self) -> Dockerfile | None:
        """What it says, None where it cannot be read."""
        from ipycontainer_runtime.build.parse import parse
        from ipycontainer_runtime.errors import InvalidParameter

        try:
            return parse(self.text)
        except InvalidParameter:
            return None

    def lines(self) -> list[tuple[int, int]]:
        """Return each instruction's first and last line."""
        return [(one.span.first, one.span.last) for one in self._instructions()]

    def stages(self) -> list[str]:
        """Return the names of its stages."""
        return [stage.name for stage in self.read.stages if stage.name] if self.read else []

    def copies_from_here(self) -> bool:
        """Tell whether it takes anything from the context."""
        return any(_wants_context(instruction) for instruction in self._instructions())

    def _instructions(self) -> Iterator[Instruction]:
        if self.read is not None:
            yield from self.read.arguments
            for stage in self.read.stages:
                yield stage.base
                yield from stage.instructions


def _wants_context(instruction: Instruction) -> bool:
    kind = instruction.keyword
    if kind in ("COPY", "ADD"):
        sources = getattr(instruction, "sources", ())
        here = [one for one in sources if "://" not in one and not one.startswith("git@")]
        return bool(here) and not getattr(instruction, "origin", "")
    if kind == "RUN":
        mounts = getattr(instruction, "mounts", ())
        return any(mount.kind == "bind" and not mount.origin for mount in mounts)
    return False


def numbered(lines: list[Line]) -> list[str]:
    """Return lines as text: `> 4 | RUN make`."""
    width = max((len(str(line.number)) for line in lines), default=0)
    return [
        f"{'>' if line.marked else ' '} {line.number or '':>{width}} | {_plain(line.text)}".rstrip()
        for line in lines
    ]


def _plain(text: str) -> str:
    """Return a line of source without control characters; its indent is kept."""
    indent = text[: len(text) - len(text.lstrip())].replace("\t", "    ")
    return indent + one_line(text)
