"""Output that is too long for a cell: all of it in a file, to be had a page at a time."""

from __future__ import annotations

import re
import tempfile
from io import SEEK_END
from pathlib import Path
from threading import Lock

KEPT = 1 << 28
"""How many bytes are kept at most."""
_PAGE = 500  # the line after each so many is where a page can begin


class Output:
    """What a container has printed, in the order in which it came; `_output` in the notebook.

    `text()` is all of it, `lines(start, count)` a part, and `save(path)` writes a file.
    """

    def __init__(self) -> None:
        # The file has no name, so that it goes with the notebook whatever becomes of that.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        self._lock = Lock()  # pages are asked for on subshells, beside what a cell reads
        self._starts = [0]
        self.size = 0
        """In bytes."""
        self.count = 0
        """In lines that have ended."""
        self.lost = 0
        """Bytes that came after `KEPT` and are not kept."""

    def append(self, text: str) -> None:
        """Take what was printed next."""
        data = text.encode("utf-8", "replace")
        if self.lost or self.size + len(data) > KEPT:
            self.lost += len(data)
            return
        with self._lock:
            self._file.seek(0, SEEK_END)
            self._file.write(data)
        self._note_pages(data)
        self.size += len(data)

    def _note_pages(self, data: bytes) -> None:
        """Count the lines of what comes next, and note where pages begin in it."""
        lines, position = data.count(b"\n"), 0
        while lines >= (left := _PAGE - self.count % _PAGE):
            # Many lines at once: a loop over each took longer than the container that prints them.
            found = re.compile(rb"(?:[^\n]*\n){%d}" % left).match(data, position)
            assert found is not None
            position = found.end()
            self._starts.append(self.size + position)
            self.count += left
            lines -= left
        self.count += lines

    def text(self) -> str:
        """Return all of it."""
        with self._lock:
            self._file.seek(0)
            return self._file.read().decode("utf-8", "replace")

    def lines(self, start: int, count: int) -> list[str]:
        """Return `count` lines from line `start`, which is counted from 0, without their ends."""
        page = min(max(start, 0) // _PAGE, len(self._starts) - 1)
        with self._lock:
            self._file.seek(self._starts[page])
            for _ in range(max(start, 0) - page * _PAGE):
                self._file.readline()
            found = [self._file.readline() for _ in range(count)]
        return [line.decode("utf-8", "replace").rstrip("\n") for line in found if line]

    def save(self, path: str | Path) -> None:
        """Write all of it to a file."""
        Path(path).write_text(self.text(), encoding="utf-8")

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<Output: {self.count:,} lines, {self.size:,} bytes; .text(), .lines(), .save()>"
