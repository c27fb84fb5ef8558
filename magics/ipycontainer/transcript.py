"""What a terminal's bytes looked like, as plain text: the form of a terminal that is saved.

Pure: bytes in, text out. Escape codes act on the lines (cursor moves, erasing, carriage returns) or
are dropped (colours, titles, links, the clipboard); what a full-screen program drew on the
alternate screen is gone when it ends, as on a terminal. After ECMA-48, and ctlseqs of xterm
(https://invisible-island.net/xterm/ctlseqs/ctlseqs.html) for the private modes.
"""

from __future__ import annotations

import codecs
import re

LINES = 10_000
"""How many lines are kept, the last ones."""
_UNFINISHED = 4096  # an escape code that is longer than this and has no end is none
_TAB = 8
_ALTERNATE = {"47", "1047", "1049"}

# An operating system command and its kin end with BEL or ESC \; a control sequence with a letter.
_STRING = r"\x1b[P\]X^_][^\x07\x1b]*(?:\x07|\x1b\\)"
_CONTROL = r"\x1b\[([0-?]*)[ -/]*([@-~])"
_OTHER = r"\x1b[ -/]*[0-OQ-WYZ\\`-~]"
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})|{_CONTROL}|(?P<other>{_OTHER})|(?P<text>[^\x00-\x1f\x7f]+)|(?P<control>\r\n|.)",
    re.DOTALL,
)
_OPEN = re.compile(r"\x1b(?:[P\]X^_][^\x07\x1b]*\x1b?|\[[0-?]*[ -/]*|[ -/]*)?\Z")


class Transcript:
    """The lines that a terminal of `columns` by `rows` characters has shown."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self._columns, self._rows = columns, rows
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._lines: list[list[str]] = [[]]
        self._wrapped: list[bool] = [False]  # whether a line goes on in the next one
        self._row = self._column = self._top = 0
        self._saved = (0, 0)
        self.dropped = 0
        """How many lines are no longer kept."""
        self.alternate = False
        """Whether a program shows the alternate screen."""

    def resize(self, columns: int, rows: int) -> None:
        """Take the terminal's new size; what is there already is not wrapped anew."""
        self._columns, self._rows = max(columns, 1), max(rows, 1)

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes as they come, cut anywhere."""
        text = self._pending + self._decoder.decode(data)
        self._pending = ""
        if (cut := _OPEN.search(text[-_UNFINISHED:])) is not None:
            start = max(len(text) - _UNFINISHED, 0) + cut.start()
            text, self._pending = text[:start], text[start:]
        for token in _TOKEN.finditer(text):
            self._take(token)

    def text(self) -> str:
        """Return the lines, without blanks at their ends and empty lines at the end."""
        parts = [f"[{self.dropped:,} earlier lines are not kept]\n"] if self.dropped else []
        for line, goes_on in zip(self._lines, self._wrapped, strict=True):
            shown = "".join(line)
            parts.append(shown if goes_on else f"{shown.rstrip()}\n")
        return "".join(parts).rstrip("\n")

    def _take(self, token: re.Match[str]) -> None:
        letter = token[3]
        if letter is not None:
            self._sequence(letter, token[2])
        elif self.alternate:
            return
        elif token["text"]:
            self._write(token["text"])
        elif token["control"]:
            self._control(token["control"])

    def _sequence(self, letter: str, arguments: str) -> None:
        if letter in "hl" and arguments[:1] == "?":
            if _ALTERNATE & set(arguments[1:].split(";")):
                self.alternate = letter == "h"
            return
        act = _SEQUENCES.get(letter)
        if act is None or self.alternate or arguments.startswith(("<", "=", ">", "?")):
            return
        numbers = [int(part[:6]) if part.isdecimal() else 0 for part in arguments.split(";")]
        act(self, numbers)

    def _control(self, character: str) -> None:
        if character == "\r\n":
            self._column = 0
            self._down(1)
        elif character == "\r":
            self._column = 0
        elif character in "\n\v\f":
            self._down(1)
        elif character == "\b":
            self._column = max(min(self._column, self._columns - 1) - 1, 0)
        elif character == "\t":
            self._column = min((self._column // _TAB + 1) * _TAB, self._columns - 1)

    def _write(self, text: str) -> None:
        position = 0
        while position < len(text):
            if self._column >= self._columns:
                self._wrapped[self._row] = True
                self._down(1)
                self._column = 0
            part = text[position : position + self._columns - self._column]
            line = self._lines[self._row]
            if len(line) < self._column:
                line.extend(" " * (self._column - len(line)))
            line[self._column : self._column + len(part)] = part
            self._column += len(part)
            position += len(part)

    def _down(self, count: int) -> None:
        for _ in range(count):
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append([])
                self._wrapped.append(False)
        self._top = max(self._top, len(self._lines) - self._rows)
        excess = len(self._lines) - LINES
        if excess > LINES // 10:
            del self._lines[:excess], self._wrapped[:excess]
            self.dropped += excess
            self._row -= excess
            self._top = max(self._top - excess, 0)

    def _move(self, row: int, column: int) -> None:
        """Go to a place of the screen, whose lines are made when something is written there."""
        row = min(max(row, 0), self._rows - 1)
        self._row = min(self._top + row, len(self._lines) - 1)
        self._down(max(self._top + row - self._row, 0))
        self._column = min(max(column, 0), self._columns - 1)

    def _vertically(self, count: int) -> None:
        self._move(self._row - self._top + count, self._column)

    def _go(self, numbers: list[int]) -> None:
        row, column = (*numbers, 0)[:2]
        self._move((row or 1) - 1, (column or 1) - 1)

    def _erase_line(self, numbers: list[int]) -> None:
        line, kind = self._lines[self._row], numbers[0]
        if kind == 0:
            del line[self._column :]
            self._wrapped[self._row] = False
        elif kind == 1:
            line[: self._column + 1] = " " * min(self._column + 1, len(line))
        elif kind == 2:
            line.clear()
            self._wrapped[self._row] = False

    def _erase_screen(self, numbers: list[int]) -> None:
        kind = numbers[0]
        cleared = kind in (2, 3) or (kind == 0 and (self._row, self._column) == (self._top, 0))
        if cleared:
            self._new_screen()
        elif kind == 0:
            self._erase_line([0])
            del self._lines[self._row + 1 :], self._wrapped[self._row + 1 :]
        else:
            for row in range(self._top, self._row):
                self._lines[row].clear()
            self._erase_line([1])

    def _new_screen(self) -> None:
        """Begin an empty screen below: what was cleared away had been said all the same."""
        while len(self._lines) > self._top and not self._lines[-1]:
            self._lines.pop()
            self._wrapped.pop()
        row, column = self._row - self._top, self._column
        self._top = len(self._lines)
        self._lines.append([])
        self._wrapped.append(False)
        self._row = self._top
        self._move(min(row, self._rows - 1), column)

    def _delete(self, numbers: list[int]) -> None:
        del self._lines[self._row][self._column : self._column + _count(numbers)]

    def _insert(self, numbers: list[int]) -> None:
        line = self._lines[self._row]
        line[self._column : self._column] = " " * min(_count(numbers), self._columns)
        del line[self._columns :]

    def _blank(self, numbers: list[int]) -> None:
        line, start = self._lines[self._row], self._column
        stop = min(start + _count(numbers), len(line))
        line[start:stop] = " " * max(stop - start, 0)

    def _save(self, _numbers: list[int]) -> None:
        self._saved = (self._row - self._top, self._column)

    def _restore(self, _numbers: list[int]) -> None:
        self._move(*self._saved)


def _count(numbers: list[int]) -> int:
    """Return how often; nothing and 0 mean once."""
    return numbers[0] or 1


_SEQUENCES = {
    "A": lambda t, n: t._vertically(-_count(n)),
    "B": lambda t, n: t._vertically(_count(n)),
    "C": lambda t, n: t._move(t._row - t._top, t._column + _count(n)),
    "D": lambda t, n: t._move(t._row - t._top, t._column - _count(n)),
    "E": lambda t, n: t._move(t._row - t._top + _count(n), 0),
    "F": lambda t, n: t._move(t._row - t._top - _count(n), 0),
    "G": lambda t, n: t._move(t._row - t._top, _count(n) - 1),
    "d": lambda t, n: t._move(_count(n) - 1, t._column),
    "H": Transcript._go,
    "f": Transcript._go,
    "J": Transcript._erase_screen,
    "K": Transcript._erase_line,
    "P": Transcript._delete,
    "@": Transcript._insert,
    "X": Transcript._blank,
    "s": Transcript._save,
    "u": Transcript._restore,
}
