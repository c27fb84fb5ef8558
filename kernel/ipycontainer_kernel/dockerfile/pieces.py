"""What a notebook and a Dockerfile have in common: pieces in their order, and how each is written.

There are two ways to write them, and each is read back to what it was written from:
`plain`, which has nothing but the pieces and blank lines, and is how a person writes a Dockerfile;
`marked`, which has a comment before each piece (the percent format of Jupytext and editors), for
notebooks whose cells would not be told apart otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ipycontainer_kernel.dockerfile.commands import NAMES
from ipycontainer_kernel.dockerfile.layout import Kind, Layout, layout

KNOWN = re.compile(rf"# %(?:{'|'.join(sorted(NAMES))})(?:\s.*)?")
"""The comment that a command is in a Dockerfile."""


@dataclass(frozen=True)
class Piece:
    """A cell, or the lines of a Dockerfile that become one."""

    kind: Literal["code", "markdown", "raw"]
    source: str
    before: str | None = field(default=None, compare=False)
    """What stands before it in the file where that is not what `plain` writes by itself."""


def commented(source: str) -> list[str]:
    """Return text as comments, one for each line."""
    return [f"# {line}" if line else "#" for line in source.split("\n")]


def uncommented(lines: Sequence[str]) -> str | None:
    """Return the text of comments, None where `commented` would write them otherwise."""
    if all(line == "#" or (line.startswith("# ") and line != "# ") for line in lines):
        return "\n".join(line[2:] for line in lines)
    return None


def layouts(pieces: Sequence[Piece]) -> list[Layout | None]:
    """Return the layout of each code piece, None for others.

    Directives are those of the first that has anything for the builder. Raises DockerfileError.
    """
    found: list[Layout | None] = []
    escape = None
    for piece in pieces:
        read = layout(piece.source, escape) if piece.kind == "code" else None
        if read is not None and read.bears:
            escape = read.escape
        found.append(read)
    return found


def instructions(read: Layout) -> list[str]:
    """Return the lines of a code piece as a Dockerfile has them: commands are comments there."""
    pairs = zip(read.lines, read.kinds, strict=True)
    return [f"# {line}" if kind is Kind.COMMAND else line for line, kind in pairs]
