"""The cells that were run, in the order in which the notebook has them.

A front end says which cell it runs (`cellId` in the metadata of the request), but not where that
stands. So the order is, in turn: that of the notebook's file, whose path Jupyter's server puts into
`JPY_SESSION_NAME`; and for a cell that is not in the file yet, after the cell that was run before
it. A client that names no cells (nbclient, papermill, a console) sends them in their order: each is
a new cell at the end, unless the last one failed, which it takes the place of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST = 64 << 20
"""Bytes of a notebook's file that are read for the order of its cells."""


@dataclass(eq=False)
class Cell:
    """A cell as it was last run; `count` is the number of In[]."""

    source: str
    count: int
    id: str | None
    failed: bool = False


class Cells:
    """The cells; `path` is the notebook's file, if it has one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._cells: list[Cell] = []
        self._last: Cell | None = None
        self._read_at: tuple[int, int] | None = None
        self._order: dict[str, int] = {}

    @property
    def filed(self) -> bool:
        """Whether there is a notebook's file to tell their order."""
        return self._path is not None

    def put(self, cell: Cell, metadata: Mapping[str, Any]) -> bool:
        """Take a cell that is being run; tell whether its place is a guess."""
        deleted = metadata.get("deletedCells")
        self._drop(set(deleted) if isinstance(deleted, list) else set())
        self._cells = [one for one in self._cells if one.id or not one.failed]
        known = [n for n, one in enumerate(self._cells) if cell.id and one.id == cell.id]
        guessed = False
        if known:
            self._cells[known[0]] = cell
        elif cell.id is None or self._last not in self._cells:
            self._cells.append(cell)
        else:
            at = self._cells.index(self._last) + 1
            guessed = at < len(self._cells)
            self._cells.insert(at, cell)
        self._last = cell
        self._sort()
        return guessed and cell.id not in self._order

    def upto(self, cell: Cell) -> list[Cell]:
        """Return the cells before one, and itself."""
        return self._cells[: self._cells.index(cell) + 1]

    def all(self) -> list[Cell]:
        """Return all cells."""
        return list(self._cells)

    def forget(self, count: int | None, asking: Cell) -> list[int]:
        """Leave out In[count], or the last that is not the one asking; return what was left out."""
        others = [one for one in self._cells if one is not asking]
        gone = others[-1:] if count is None else [one for one in others if one.count == count]
        self._drop({id(one) for one in gone}, key=id)
        return [one.count for one in gone]

    def clear(self) -> None:
        """Leave out all cells."""
        self._cells = []
        self._last = None

    def _drop(self, gone: set[Any], key: Any = lambda cell: cell.id) -> None:
        self._cells = [one for one in self._cells if key(one) not in gone]

    def _sort(self) -> None:
        """Bring the cells into the order of the file; those that it lacks stay after their own."""
        self._read()
        place, placed = -1, []
        for cell in self._cells:
            place = self._order.get(cell.id or "", place)
            placed.append((place, cell))
        self._cells = [cell for _, cell in sorted(placed, key=lambda one: one[0])]

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_size) == self._read_at or found.st_size > _LARGEST:
                return
            self._read_at = found.st_mtime_ns, found.st_size
            notebook = json.loads(self._path.read_bytes())
            ids = [str(cell.get("id")) for cell in notebook["cells"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # not saved yet, or being saved: the order is as it was
        self._order = {name: number for number, name in enumerate(ids)}


def notebook_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the notebook that this kernel was started for, None where nobody says."""
    name = environment.get("JPY_SESSION_NAME", "")
    return Path(name) if name.endswith(".ipynb") and os.path.isabs(name) else None
