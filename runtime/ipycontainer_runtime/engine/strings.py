"""What no string of a request may hold, since what it becomes could not."""

import re

from ipycontainer_runtime.errors import InvalidParameter

# JSON's way to write it; before it an even number of backslashes, which stand for themselves.
_ZERO = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SHOWN = 40


def refuse_zeros(raw: bytes) -> None:
    """Refuse a JSON body with a zero byte in a string: no path, word or variable can hold one."""
    if rb"\u0000" in raw and (found := _ZERO.search(raw)):
        before = raw[max(0, found.end() - 6 - _SHOWN) : found.end() - 6].decode(errors="replace")
        raise InvalidParameter(f"a string holds a zero byte, after {before!r}: leave it out")


def refuse_spaces(field: str, values: list[str]) -> None:
    """Refuse words for a file of lines that would be two words, or another line, in it."""
    for value in values:
        if not value.isprintable() or " " in value:
            raise InvalidParameter(f"{field} {value!r} is not one word: leave its spaces out")
