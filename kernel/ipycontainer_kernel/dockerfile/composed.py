"""The Dockerfile that cells make together, which knows what line of what cell each line is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ipycontainer.building.dockerfile import Line, Source
from ipycontainer.failures import Failure
from ipycontainer_kernel.dockerfile.cells import Cell
from ipycontainer_kernel.dockerfile.commands import SETTINGS, Command, command
from ipycontainer_kernel.dockerfile.layout import Layout, incomplete, layout
from ipycontainer_kernel.dockerfile.pieces import instructions
from ipycontainer_runtime.build.source import DockerfileError

HERE = "this cell"


@dataclass(frozen=True)
class Composed(Source):
    """A Dockerfile of cells; the last cell is the one that runs."""

    places: tuple[tuple[str, int], ...] = ()
    """Of each line: its cell, as a person is told of it, and its number there (0: between two)."""
    settings: tuple[Command, ...] = ()
    """The commands that hold, in their order."""
    commands: tuple[Command, ...] = ()
    """All commands of the cell that runs."""
    here: Layout | None = None
    """The lines of the cell that runs."""
    keywords: tuple[str, ...] = ()
    """Of all instructions."""
    below: str = ""
    """The cell that the one that runs stands on, as a person is told of it; "" for none."""
    escape: str | None = None
    """The escape character that a further cell has, None where that could still say."""

    def place(self, first: int, last: int = 0) -> str:
        """Say in which lines of which cell an instruction stands."""
        if not 0 < first <= len(self.places):
            return ""
        cell, begin = self.places[first - 1]
        end = self.places[min(max(first, last), len(self.places)) - 1][1]
        return f"line {begin} of {cell}" if begin >= end else f"lines {begin}-{end} of {cell}"

    def excerpt(self, first: int, last: int = 0) -> list[Line]:
        """Return these lines with those around them in their cell, numbered as they are there."""
        if not 0 < first <= len(self.places):
            return []
        cell = self.places[first - 1][0]
        found = super().excerpt(first, last)
        return [
            replace(line, number=self.places[line.number - 1][1]) if line.number else line
            for line in found
            if not line.number or self._in(line.number, cell)
        ]

    def _in(self, number: int, cell: str) -> bool:
        name, line = self.places[number - 1]
        return name == cell and line > 0

    def is_here(self, first: int) -> bool:
        """Tell whether a line is one of the cell that runs."""
        return 0 < first <= len(self.places) and self.places[first - 1][0] == HERE

    @property
    def begun(self) -> bool:
        """Whether there is a stage to be built, or what cannot stand before one."""
        return any(keyword != "ARG" for keyword in self.keywords)


def compose(cells: Sequence[Cell]) -> Composed:
    """Return the Dockerfile of cells; raises `Failure` for a cell that is no whole instructions."""
    lines: list[str] = []
    places: list[tuple[str, int]] = []
    settings: list[Command] = []
    keywords: list[str] = []
    commands: list[Command] = []
    escape, read, below = None, None, ""
    for cell in cells:
        name = HERE if cell is cells[-1] else f"cell In[{cell.count}]"
        read = _whole(cell, name, escape)
        commands = [command(f"line {number} of {name}", line) for number, line in read.commands()]
        settings += [one for one in commands if one.name in SETTINGS]
        if not read.bears:
            continue
        below = below if name == HERE else f"In[{cell.count}]"
        escape = read.escape
        keywords += [statement.keyword for statement, _ in read.statements]
        if lines:
            lines.append("")
            places.append((name, 0))
        lines += instructions(read)
        places += [(name, number + 1) for number in range(len(read.lines))]
    text = "".join(f"{line}\n" for line in lines)
    return Composed(
        text, "the Dockerfile so far", places=tuple(places), settings=tuple(settings),
        commands=tuple(commands), here=read, keywords=tuple(keywords), below=below, escape=escape,
    )  # fmt: skip


def _whole(cell: Cell, name: str, escape: str | None) -> Layout:
    """Return a cell's lines; raises `Failure` where it ends within an instruction."""
    try:
        read = layout(cell.source, escape)
    except DockerfileError as error:
        first = error.span.first
        raise Failure(f"line {first} of {name}: {error.reason}") from error
    if incomplete(cell.source, escape):
        raise Failure(f"line {len(read.lines)} of {name} goes on, and the cell ends: complete it")
    return read
