"""What was run in this kernel, for front ends that ask: since its start, and no longer."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

_MOST: Final = 10_000
_Entry = tuple[int, int, Any]


class History:
    """Cells in their order, numbered as they were; the session is always 1."""

    def __init__(self) -> None:
        self._cells: list[tuple[int, str]] = []

    def add(self, number: int, code: str) -> None:
        """Take a cell."""
        self._cells.append((number, code))
        del self._cells[:-_MOST]

    def tail(self, count: int) -> list[tuple[int, str]]:
        """Return the last cells."""
        return self._cells[-count:] if count > 0 else []

    def range(self, session: int, start: int, stop: int | None) -> list[tuple[int, str]]:
        """Return the cells from number `start` up to, without, `stop`."""
        last = float("inf") if stop is None else stop
        return [cell for cell in self._cells if session in (0, 1) and start <= cell[0] < last]

    def search(self, pattern: str, count: int | None, *, unique: bool) -> list[tuple[int, str]]:
        """Return the cells that match a pattern with `*` and `?`, the last `count` of them."""
        found = [cell for cell in self._cells if fnmatchcase(cell[1], pattern)]
        if unique:
            found = sorted({code: (number, code) for number, code in found}.values())
        return found[-count:] if count else found


def entries(cells: list[tuple[int, str]], *, output: bool) -> list[_Entry]:
    """Return them as a `history_reply` has them; a shell's cells have no value to tell."""
    return [(1, number, (code, None) if output else code) for number, code in cells]
