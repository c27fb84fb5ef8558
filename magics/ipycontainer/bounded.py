"""A cell's output is bounded: its beginning and its end are shown, and all of it can be had.

A page with a hundred thousand lines is one that nobody can scroll, save or load again.
"""

from __future__ import annotations

from .kept import Output
from .plain import settled

BYTES = 1 << 20
"""Shown at most; Jupyter's server drops a stream that is faster than 1 MB a second."""
LAST_LINES = 50
_LAST_BYTES = 1 << 14
VARIABLE = "_output"


class Bounded:
    """Counts what both streams show; `rest` takes over when that is more than `lines`."""

    def __init__(self, lines: int) -> None:
        self._lines, self._bytes = lines, BYTES
        self._said: list[str] = []
        self._last = ""
        self.output: Output | None = None
        """All that was printed, once it was too much."""
        self.hidden_lines = self.hidden_bytes = 0

    def shown(self, text: str) -> str:
        """Take what was printed; return what of it is shown where it came."""
        if self.output is not None:
            self._hide(text)
            return ""
        self._said.append(text)
        count = text.count("\n")
        if count < self._lines and len(text) < self._bytes:
            self._lines -= count
            self._bytes -= len(text)
            return text
        cut = _end_of_line(text[: self._bytes], self._lines)
        self.output = Output()
        for part in self._said:
            self.output.append(part)
        self._said.clear()
        self._count(text[cut:])
        return text[:cut]

    def _hide(self, text: str) -> None:
        assert self.output is not None
        self.output.append(text)
        self._count(text)

    def _count(self, text: str) -> None:
        self.hidden_lines += text.count("\n")
        self.hidden_bytes += len(text.encode("utf-8", "replace"))
        self._last = (self._last + text)[-_LAST_BYTES:]

    def told(self) -> str:
        """Say what is not shown and how to have it."""
        assert self.output is not None
        lost = self.output.lost
        tail = f"; the last {lost:,} bytes were too much to keep" if lost else ""
        return (
            f"[{self.hidden_lines:,} more lines ({self.hidden_bytes:,} bytes) are not shown here;"
            f" the variable {VARIABLE} has all of it{tail}]"
        )

    def ending(self) -> str:
        """Return the last lines that were printed."""
        lines = settled(self._last).removesuffix("\n").split("\n")
        return "\n".join(lines[-LAST_LINES:])


def _end_of_line(text: str, lines: int) -> int:
    """Return where the `lines`-th line ends, or else the last whole one, or the text."""
    position = -1
    for _ in range(lines):
        found = text.find("\n", position + 1)
        if found < 0:
            return position + 1 or len(text)
        position = found
    return position + 1


class Rest:
    """The place under a cell's output that tells of the rest: it counts on, then has the end.

    `pages` says whether somebody sits there who can press a button.
    """

    def __init__(self, bounded: Bounded, *, pages: bool) -> None:
        from .widgets.bundles import publisher

        self._bounded, self._pages = bounded, pages
        self._publish = publisher()
        self._shown = False

    def show(self, *, final: bool) -> None:
        """Show how much there is, and when it is all of it, the last lines."""
        text = self._bounded.told()
        if final:
            text = f"{text}\n{self._bounded.ending()}"
        if not (final and self._pages):
            self._publish({"text/plain": text}, self._shown)
            self._shown = True
            return
        from .widgets.bundles import EMPTY, Place
        from .widgets.pager import PagerView

        assert self._bounded.output is not None
        if self._shown:
            self._publish(EMPTY, True)
        view = PagerView(self._bounded.output, text)
        Place(view.model_id, view.send).show(text)
