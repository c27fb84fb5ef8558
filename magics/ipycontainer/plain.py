"""What a container prints, made fit for a cell: text, colours and carriage returns, nothing else.

A front end's stream output knows colours (SGR), carriage returns and backspaces. Everything else
that a terminal would obey is taken away here, or said with these: links and the clipboard (OSC 8
and 52), titles, device strings, the screen. Erasing in a line, which progress bars use, becomes
blanks.
"""

from __future__ import annotations

import re

_UNFINISHED = 4096
_STRING = r"\x1b[P\]X^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"
_SEQUENCE = r"\x1b\[(?P<arguments>[0-?]*)(?P<between>[ -/]*)(?P<letter>[@-~])"
_ESCAPE = r"\x1b[ -/]*[0-OQ-WYZ\\`-~]"
_REST = r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]"
_SPECIAL = re.compile(
    rf"(?P<string>{_STRING})|{_SEQUENCE}|(?P<escape>{_ESCAPE})|(?P<rest>{_REST})|(?P<move>[\r\n\b])"
)
_COLOUR = re.compile(r"\x1b\[[0-?]*m")
_BACK = re.compile(r"([\r\b])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OPEN = re.compile(r"\x1b(?:[P\]X^_][^\x07\x1b\n]*\x1b?|\[[0-?]*[ -/]*|[ -/]*)?\Z")


class Plain:
    """A stream's text as it comes, cut anywhere; what is kept back is the start of an escape."""

    def __init__(self) -> None:
        self._pending = ""
        self._column = 0
        self._width = 0  # of the line so far, for what erases it

    def feed(self, text: str) -> str:
        """Return what can be shown."""
        if not self._pending and _CONTROL.search(text) is None:
            start = text.rfind("\n") + 1
            if start:
                self._column = self._width = 0
            self._advance(len(text) - start)
            return text
        text, self._pending = self._pending + text, ""
        if (cut := _OPEN.search(text, max(len(text) - _UNFINISHED, 0))) is not None:
            text, self._pending = text[: cut.start()], text[cut.start() :]
        parts: list[str] = []
        end = 0
        for found in _SPECIAL.finditer(text):
            self._advance(found.start() - end)
            parts += (text[end : found.start()], self._shown(found))
            end = found.end()
        self._advance(len(text) - end)
        return "".join((*parts, text[end:]))

    def _advance(self, count: int) -> None:
        self._column += count
        self._width = max(self._width, self._column)

    def _shown(self, found: re.Match[str]) -> str:
        move, letter = found["move"], found["letter"]
        if move is not None:
            return self._moved(move)
        if (
            letter == "m"
            and not found["between"]
            and not found["arguments"].startswith(("<", ">", "?"))
        ):
            return found[0]
        if letter == "K" and found["arguments"] in ("", "0", "2"):
            return self._erased()
        return ""

    def _moved(self, move: str) -> str:
        if move == "\n":
            self._column = self._width = 0
        elif move == "\r":
            self._column = 0
        else:
            self._column = max(self._column - 1, 0)
        return move

    def _erased(self) -> str:
        """Blanks over the rest of the line, and back again: front ends know no erasing."""
        count = self._width - self._column
        self._width = self._column
        return " " * count + "\b" * count


def settled(text: str) -> str:
    """Return what `Plain` has let through as a terminal would leave it, without colours.

    For forms that know neither: a carriage return or a backspace goes back over its line.
    """
    text = uncoloured(text)
    if _BACK.search(text) is None:
        return text
    return "\n".join(_overwritten(line) for line in text.split("\n"))


def _overwritten(line: str) -> str:
    shown: list[str] = []
    column = 0
    for piece in _BACK.split(line):
        if piece == "\r":
            column = 0
        elif piece == "\b":
            column = max(column - 1, 0)
        else:
            shown[column : column + len(piece)] = piece
            column += len(piece)
    return "".join(shown)


def uncoloured(text: str) -> str:
    """Return what `Plain` has let through without its colours."""
    return _COLOUR.sub("", text)
