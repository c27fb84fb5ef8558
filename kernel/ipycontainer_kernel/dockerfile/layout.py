"""A cell's lines and what each of them is: commands, directives, statements, the rest.

What a statement is, where it is continued and where a heredoc ends is read by the engine's own
reader, which is pure. A command is one line that begins with `%`; no instruction does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from ipycontainer_runtime.build.source import DockerfileError, Span
from ipycontainer_runtime.build.statements import Reader, Statement

ESCAPE = "\\"


class Kind(Enum):
    """What a line is."""

    DIRECTIVE = auto()
    """A parser directive at the top of the file."""
    COMMENT = auto()
    BLANK = auto()
    COMMAND = auto()
    FIRST = auto()
    """The first line of a statement."""
    MORE = auto()
    """A further line of one."""


@dataclass(frozen=True)
class Layout:
    """The lines of a text, what each is, and its statements in their order (spans from 1)."""

    lines: tuple[str, ...]
    kinds: tuple[Kind, ...]
    statements: tuple[tuple[Statement, Span], ...]
    escape: str

    def commands(self) -> Iterator[tuple[int, str]]:
        """Yield the commands with the numbers of their lines, counted from 1."""
        for number, (line, kind) in enumerate(zip(self.lines, self.kinds, strict=True), 1):
            if kind is Kind.COMMAND:
                yield number, line.strip()

    @property
    def bears(self) -> bool:
        """Whether anything of it is for the builder."""
        return bool(self.statements) or Kind.DIRECTIVE in self.kinds


def layout(text: str, escape: str | None = None) -> Layout:
    """Read a text's lines; `escape` is that of the file it goes on with, None at the file's top.

    Raises DockerfileError for a heredoc without an end and for directives that cannot be.
    """
    lines = text.split("\n")
    kinds = [_plain(line) for line in lines]
    # A comment that says nothing ends the directives, so that none is read where none counts.
    before = [] if escape is None else [f"# escape={escape}", "#"]
    reader = Reader("\n".join([*before, text]))
    statements: list[tuple[Statement, Span]] = []
    for statement in _read(reader, len(before)):
        first, last = (line - len(before) for line in (statement.span.first, statement.span.last))
        if statement.word.startswith("%"):
            kinds[first - 1] = Kind.COMMAND
            reader.read_on_after(statement.span.first)  # a command is one line
            continue
        kinds[first - 1] = Kind.FIRST
        kinds[first:last] = [Kind.MORE] * (last - first)
        statements.append((statement, Span(first, last)))
    if escape is None:
        count = len(reader.directives)
        kinds[:count] = [Kind.DIRECTIVE] * count
        escape = reader.directives.get("escape", ESCAPE)
    return Layout(tuple(lines), tuple(kinds), tuple(statements), escape)


def _read(reader: Reader, before: int) -> Iterator[Statement]:
    """Yield statements; an error is of the text, which has so many lines before it."""
    try:
        yield from reader.statements()
    except DockerfileError as error:
        span = Span(error.span.first - before, error.span.last - before)
        raise DockerfileError(error.reason, span) from error


def _plain(line: str) -> Kind:
    return Kind.BLANK if not line.strip() else Kind.COMMENT


def incomplete(text: str, escape: str | None = None) -> bool:
    """Tell whether the text ends within a statement: in a heredoc, or where it is continued."""
    try:
        # What cannot be continued is a statement of its own; what waits for more swallows it.
        found = layout(f"{text.rstrip(chr(10))}\n#", escape)
    except DockerfileError as error:
        return "unterminated heredoc" in error.reason
    return found.kinds[-1] is Kind.MORE
