"""A magic's line becomes a list of arguments: quotes as in a POSIX shell, nothing else of a shell.

`$`, `*`, `~`, `|`, `;` and `{{.ID}}` are ordinary characters. Only a whole, unquoted word `{name}`
is taken from the notebook, as exactly one argument; `{*names}` is each item of a list or a tuple.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from .failures import Usage
from .scripted import Taken

# One word as the user wrote it, quotes included: `shlex` alone forgets whether there were any.
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""", re.DOTALL)
_VARIABLE = re.compile(r"\{(\*?)([^\W\d]\w*)\}")


def split(line: str, names: Mapping[str, Any]) -> list[str]:
    """Return the arguments in `line`, with `{name}` taken from `names`.

    Raises `Usage` for an open quote, a name that is not there, and a value that is no argument.
    """
    return [argument for word in _words(line) for argument in _expand(word, names)]


def _words(line: str) -> Iterator[str]:
    position = 0
    while position < len(line):
        if line[position].isspace():
            position += 1
            continue
        match = _WORD.match(line, position)
        if match is None:
            raise Usage(f"a quote is never closed: {line[position:]}")
        yield match[0]
        position = match.end()
        if position < len(line) and not line[position].isspace():
            raise Usage(f"a quote is never closed: {line[position:]}")


def _expand(word: str, names: Mapping[str, Any]) -> list[str]:
    match = _VARIABLE.fullmatch(word)
    if match is None:
        return shlex.split(word)
    star, name = match.groups()
    if name not in names:
        raise Usage(f"{word}: the notebook has no variable {name!r}; to pass the text, quote it")
    value = names[name]
    if not star:
        return [Taken(_argument(word, value))]
    if not isinstance(value, (list, tuple)):
        raise Usage(f"{word}: {name!r} is a {type(value).__name__}, not a list; write {{{name}}}")
    return [Taken(_argument(word, item)) for item in value]


def variable(text: str, names: Mapping[str, Any]) -> str:
    """Return `text`, or where it is `{name}` the notebook's variable as one argument.

    For what stands after an `=`; raises `Usage` as `split` does.
    """
    found = _VARIABLE.fullmatch(text)
    return text if found is None else "".join(_expand(text, names))


def _argument(word: str, value: object) -> str:
    """Return one argument: text, a number, a path, or the id of a container or an image."""
    if isinstance(value, (str, int, float, PurePath)) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(identity := getattr(value, "id", None), str):
        text = identity
    elif isinstance(value, (list, tuple)):
        raise Usage(f"{word}: a {type(value).__name__} is many arguments; write {{*{word[1:]}")
    else:
        raise Usage(
            f"{word}: a {type(value).__name__} is no argument; make it text with str() or repr()"
        )
    if "\0" in text:
        raise Usage(f"{word}: an argument cannot hold a NUL character")
    return text
