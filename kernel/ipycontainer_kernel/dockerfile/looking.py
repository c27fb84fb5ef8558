"""Tab and Shift-Tab: what could stand at the cursor, and what stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ipycontainer.building.dockerfile import Source
from ipycontainer_kernel.dockerfile.commands import NAMES
from ipycontainer_kernel.dockerfile.words import FLAGS, INSTRUCTIONS, VALUES

_WORD = re.compile(r"\S*\Z")
_VARIABLE = re.compile(r"\$\{?(\w*)\Z")
_DECLARED = re.compile(r"^\s*(?:ARG|ENV)\s+(.+)$", re.IGNORECASE | re.MULTILINE)
_NAMED = re.compile(r"(?:^|\s)([A-Za-z_]\w*)(?:=|\s|$)")
_REST = re.compile(r"[\w-]*")
_MOST = 500
_PATHS = frozenset({"context", "export", "import"})


@dataclass(frozen=True)
class Around:
    """What is known beside the text: the cells so far, the context, and the names of images."""

    before: str
    context: Path
    here: Path
    images: Callable[[], list[str]]
    options: tuple[str, ...]


def completions(code: str, cursor: int, around: Around) -> tuple[list[str], int]:
    """Return what could stand at the cursor, and from where on it replaces the text."""
    text = code[:cursor]
    if (found := _VARIABLE.search(text)) and not _at_start(text):
        names = _declared(f"{around.before}\n{text}")
        return [name for name in names if name.startswith(found[1])], cursor - len(found[1])
    word = (_WORD.search(text) or [""])[0]
    offered = sorted(set(_offered(text, word, around)))[:_MOST]
    return offered, cursor - len(word)


def _at_start(text: str) -> bool:
    return not text.rpartition("\n")[2].strip()


def _offered(text: str, word: str, around: Around) -> Iterator[str]:
    line = text.rpartition("\n")[2].lstrip()
    if line.startswith("%"):
        yield from _of_command(line, word, text, around)
        return
    words = _statement(text).split()
    if word:
        words.pop()
    if not words:
        yield from _cased(INSTRUCTIONS, word)
        yield from (f"%{name}" for name in NAMES if f"%{name}".startswith(word) and word)
        return
    keyword = words[0].upper()
    if keyword == "ONBUILD" and len(words) == 1:
        yield from _cased(INSTRUCTIONS, word)
        return
    if keyword == "ONBUILD":
        keyword, words = words[1].upper(), words[1:]
    yield from _of_instruction(keyword, words, word, text, around)


def _of_instruction(
    keyword: str, words: list[str], word: str, text: str, around: Around
) -> Iterator[str]:
    if word.startswith("--"):
        yield from _of_flag(keyword, word, text, around)
        return
    plain = [one for one in words[1:] if not one.startswith("--")]
    if keyword == "FROM":
        if not plain:
            yield from _starting([*_stages(text, around), "scratch", *around.images()], word)
        elif len(plain) == 1:
            yield from _cased(["AS"], word)
    elif keyword in ("COPY", "ADD") and not any(one.startswith("--from=") for one in words):
        yield from _files(around.context, word)
    elif keyword == "HEALTHCHECK" and not plain:
        yield from _cased(["CMD", "NONE"], word)


def _of_flag(keyword: str, word: str, text: str, around: Around) -> Iterator[str]:
    flag, equals, value = word.partition("=")
    if not equals:
        yield from _starting(FLAGS.get(keyword, ()), word)
        return
    names = list(VALUES.get(f"{flag}=", ()))
    if flag == "--from":
        names = [*_stages(text, around), *around.images()]
    yield from (f"{flag}={name}" for name in names if name.startswith(value))


def _of_command(line: str, word: str, text: str, around: Around) -> Iterator[str]:
    name, blank, _ = line.removeprefix("%").partition(" ")
    if not blank:
        yield from (f"%{known}" for known in NAMES if known.startswith(name))
    elif name == "target":
        yield from _starting(_stages(text, around), word)
    elif name == "tag":
        yield from _starting(around.images(), word)
    elif name == "options":
        yield from _starting(around.options, word)
    elif name in _PATHS:
        yield from _files(around.here, word)


def _statement(text: str) -> str:
    """Return the instruction that the cursor is in, on one line."""
    lines = text.split("\n")
    first = len(lines) - 1
    while first > 0 and lines[first - 1].rstrip().endswith(("\\", "`")):
        first -= 1
    return " ".join(line.rstrip().rstrip("\\`") for line in lines[first:])


def _stages(text: str, around: Around) -> list[str]:
    whole = text.rpartition("\n")[0]
    return Source(f"{around.before}\n{whole}", "").stages()


def _declared(text: str) -> list[str]:
    found = (name for line in _DECLARED.findall(text) for name in _NAMED.findall(line))
    return sorted(dict.fromkeys(found))


def _starting(names: Iterable[str], word: str) -> Iterator[str]:
    return (name for name in names if name.startswith(word))


def _cased(names: Iterable[str], word: str) -> Iterator[str]:
    """Yield the names that begin with a word in either case, as the person writes it."""
    low = word.islower()
    return (name.lower() if low else name for name in names if name.startswith(word.upper()))


def _files(folder: Path, word: str) -> Iterator[str]:
    head, slash, start = word.rpartition("/")
    try:
        entries = list((folder / (head or ("/" if slash else "."))).iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
            yield f"{head}{slash}{entry.name}{'/' if entry.is_dir() else ''}"


def inspection(code: str, cursor: int) -> tuple[str, str] | None:
    """Return what stands at the cursor as text and as Markdown, None where nothing is known."""
    rest = code[cursor:].partition("\n")[0]
    text = code[:cursor] + (_REST.match(rest) or [""])[0]
    line = (code[:cursor].rpartition("\n")[2] + rest).strip()
    if line.startswith("%"):
        return _command(line)
    words = [word.upper() for word in _statement(text).split()]
    if not words:
        words = [line.partition(" ")[0].upper()]
    flag = (_WORD.search(text) or [""])[0].partition("=")[0]
    keyword = words[1] if words[0] == "ONBUILD" and len(words) > 1 else words[0]
    told = FLAGS.get(keyword, {})
    for name in (flag, f"{flag}="):
        if name in told:
            return f"{name}  {told[name]}", f"`{name}` {told[name]}"
    return _instruction(keyword)


def _instruction(keyword: str) -> tuple[str, str] | None:
    if keyword not in INSTRUCTIONS:
        return None
    form, does = INSTRUCTIONS[keyword]
    flags = FLAGS.get(keyword, {})
    text = "\n".join([form, "", does, *(f"  {flag:<18}{told}" for flag, told in flags.items())])
    rows = "\n".join(f"- `{flag}` {told}" for flag, told in flags.items())
    return text, f"`{form}`\n\n{does}\n\n{rows}".strip()


def _command(line: str) -> tuple[str, str] | None:
    name = line[1:].partition(" ")[0]
    name = "show" if name == "dockerfile" else name
    if name not in NAMES:
        return None
    form, does = NAMES[name]
    return f"%{name} {form}\n\n{does}", f"`%{name} {form}`\n\n{does}"
