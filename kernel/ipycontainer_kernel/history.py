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

    def reply(
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,
        session: int | None = None,
        start: int | None = None,
        stop: int | None = None,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
    ) -> dict[str, Any]:
        """Answer a `history_request`; its words are those of ipykernel's `do_history`.

        https://jupyter-client.readthedocs.io/en/stable/messaging.html#history
        """
        if hist_access_type == "tail":
            cells = self.tail(n or 0)
        elif hist_access_type == "range":
            cells = self.range(session or 0, start or 0, stop)
        else:
            cells = self.search(pattern or "*", n, unique=unique)
        return {"status": "ok", "history": _entries(cells, output=output)}

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


def _entries(cells: list[tuple[int, str]], *, output: bool) -> list[_Entry]:
    """Return them as a `history_reply` has them; these kernels' cells have no value to tell."""
    return [(1, number, (code, None) if output else code) for number, code in cells]
