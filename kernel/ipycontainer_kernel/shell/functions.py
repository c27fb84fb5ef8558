"""Functions that cells define, as text: dash and busybox ash can tell nobody what is in theirs.

A shell that has ended takes its functions with it; the next one is given these. What is not
certainly one whole definition is left out, since to give it is to run it.
"""

from __future__ import annotations

import re
from typing import Final

_HEAD: Final = re.compile(r"(?:^|[;&\n])[ \t]*([^\W\d]\w*)[ \t]*\([ \t]*\)\s*\{(?=\s)")
_WORD: Final = re.compile(r"""[^\s;&|()<>"'\\$#{}]+""")
_COMMAND_FOLLOWS: Final = {"do", "then", "else", "elif", "if", "while", "until", "!", "time"}
_OPERATORS: Final = "\n;&|()"
_MOST: Final = 1000
_LONGEST: Final = 1 << 16


def definitions(code: str) -> dict[str, str]:
    """Return the text of each function that `code` defines, as far as it is plain to see."""
    found = {}
    for head in _HEAD.finditer(code):
        end = _end(code, head.end())
        if end is not None and end - head.start(1) <= _LONGEST:
            found[head[1]] = code[head.start(1) : end]
    return found


def merged(known: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Return both, the newest last and no more than are worth keeping."""
    both = {**{name: text for name, text in known.items() if name not in new}, **new}
    return dict(list(both.items())[-_MOST:])


def _end(code: str, position: int) -> int | None:
    """Return where the braces close that are open at `position`; None where that is not plain.

    A brace opens and closes only where a command could stand.
    """
    depth, command = 1, True
    while position < len(code):
        c = code[position]
        if c == "}" and command:
            depth -= 1
            if depth == 0:
                return position + 1
            position, command = position + 1, False
        elif c == "{" and command and code[position + 1 : position + 2].isspace():
            depth, position = depth + 1, position + 1
        elif c in " \t":
            position += 1
        elif c in _OPERATORS:
            position, command = position + 1, True
        elif code.startswith("<<", position):
            return None
        else:
            step = _skipped(code, position)
            if step is None:
                return None
            command = code[position:step] in _COMMAND_FOLLOWS
            position = step
    return None


def _skipped(code: str, position: int) -> int | None:
    """Return where a word, a quoted piece or a comment ends that begins at `position`."""
    c = code[position]
    if c == "\\":
        return position + 2
    if c == "#" and code[position - 1] in " \t\n;":
        end = code.find("\n", position)
        return len(code) if end < 0 else end
    if c in "'\"":
        closing = re.compile(r"'" if c == "'" else r'(?<!\\)(?:\\\\)*"')
        found = closing.search(code, position + 1)
        return None if found is None else found.end()
    if code.startswith("${", position):
        end = code.find("}", position)
        return None if end < 0 else end + 1
    word = _WORD.match(code, position)
    return position + 1 if word is None else word.end()
