"""A Dockerfile with a comment before each cell: `# %%`, `# %% [markdown]`, `# %% [raw]`.

Parser directives count at the very top only, so they stand before the first mark; the cell that has
them is marked `# %% [directives]`. In comments of a person's a `%` is written `\\%`, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from ipycontainer_kernel.dockerfile.layout import Kind, Layout, layout
from ipycontainer_kernel.dockerfile.pieces import Piece, commented, layouts

_MARK = re.compile(r"# %%(?: \[(markdown|raw|directives)\])?")
_COMMAND = re.compile(r"# %[^%].*|# %")
_ESCAPED = re.compile(r"# \\+%.*")
_PERCENT = re.compile(r"# \\*%.*")


def read(text: str) -> list[Piece] | None:
    """Return the pieces of a Dockerfile that has marks, None for any other; DockerfileError."""
    whole = layout(text)
    top = whole.kinds.count(Kind.DIRECTIVE)
    marks = [
        number
        for number, (line, kind) in enumerate(zip(whole.lines, whole.kinds, strict=True))
        if kind is Kind.COMMENT and _MARK.fullmatch(line)
    ]
    if not marks or marks[0] != top or Kind.COMMAND in whole.kinds:
        return None
    ends = [*marks[1:], len(whole.lines)]
    pieces = [_piece(whole, first, last) for first, last in zip(marks, ends, strict=True)]
    # What others write in this format may have other blank lines: then it is no file of ours.
    return pieces if write(pieces) == text else None


def _piece(whole: Layout, first: int, last: int) -> Piece:
    mark = _MARK.fullmatch(whole.lines[first])
    name = mark[1] if mark else None
    body = range(first + 1, last - 1)
    if name in ("markdown", "raw"):
        kind: Literal["markdown", "raw"] = "markdown" if name == "markdown" else "raw"
        return Piece(kind, "\n".join(_unescaped(whole.lines[n])[2:] for n in body))
    lines = [_code(whole.lines[n], whole.kinds[n]) for n in body]
    if name == "directives":
        lines[:0] = whole.lines[: whole.kinds.count(Kind.DIRECTIVE)]
    return Piece("code", "\n".join(lines))


def _code(line: str, kind: Kind) -> str:
    if kind is Kind.COMMENT and _COMMAND.fullmatch(line):
        return line.removeprefix("# ")
    return _unescaped(line) if kind is Kind.COMMENT else line


def _unescaped(line: str) -> str:
    return line.replace("\\", "", 1) if _ESCAPED.fullmatch(line) else line


def _escaped(line: str) -> str:
    return line.replace("%", "\\%", 1) if _PERCENT.fullmatch(line) else line


def write(pieces: Sequence[Piece]) -> str:
    """Return the Dockerfile of pieces; raises DockerfileError."""
    found = layouts(pieces)
    top: list[str] = []
    body: list[str] = []
    for piece, code in zip(pieces, found, strict=True):
        if code is None:
            body += [f"# %% [{piece.kind}]", *map(_escaped, commented(piece.source)), ""]
            continue
        directives = code.kinds.count(Kind.DIRECTIVE)
        top += code.lines[:directives]
        body += ["# %% [directives]" if directives else "# %%", *_written(code, directives), ""]
    return "\n".join([*top, *body])


def _written(code: Layout, begin: int) -> Iterator[str]:
    pairs = zip(code.lines[begin:], code.kinds[begin:], strict=True)
    for line, kind in pairs:
        if kind is Kind.COMMAND:
            yield f"# {line}"
        else:
            yield _escaped(line) if kind is Kind.COMMENT else line
