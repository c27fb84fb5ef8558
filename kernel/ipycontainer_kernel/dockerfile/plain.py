"""A Dockerfile as a person writes it: instructions, comments, blank lines between them.

An instruction with its heredocs is a piece of code, a paragraph of comments one of Markdown, as are
comments that stand right above an instruction. Comments that Markdown would not give back as they
are (`#like this`, indented ones) stay with the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipycontainer.failures import Failure
from ipycontainer_kernel.dockerfile.layout import Kind, Layout, layout
from ipycontainer_kernel.dockerfile.pieces import (
    KNOWN,
    Piece,
    commented,
    instructions,
    layouts,
    uncommented,
)


def read(text: str) -> tuple[list[Piece], str]:
    """Return a Dockerfile's pieces, and what stands after the last one.

    Raises DockerfileError where it cannot be told apart, `Failure` for a line that begins with `%`.
    """
    whole = layout(text)
    if Kind.COMMAND in whole.kinds:
        number = whole.kinds.index(Kind.COMMAND) + 1
        raise Failure(f"line {number} begins with %, and no instruction does: remove it")
    blocks = list(_blocks(whole))
    pieces, end = _pieces(whole, blocks)
    while write(pieces, "") is None:
        # A comment before the first instruction would be a directive if its cell were the first.
        head = next(n for n, block in enumerate(blocks) if n and block[0] == "statement")
        blocks[: head + 1] = [("statement", blocks[0][1], blocks[head][2])]
        pieces, end = _pieces(whole, blocks)
    rest = "\n".join(["", *whole.lines[end:]]) if pieces and end < len(whole.lines) else ""
    return pieces, rest if pieces else text


def _pieces(whole: Layout, blocks: Sequence[tuple[str, int, int]]) -> tuple[list[Piece], int]:
    """Return the pieces, and the line after the last."""
    pieces: list[Piece] = []
    end = 0
    for kind, first, last in blocks:
        gap = "\n".join(["", *whole.lines[end:first], ""]) if pieces else _leading(whole, first)
        lines = whole.lines[first:last]
        pieces.append(_with_gap(_piece(kind, lines), gap, pieces))
        end = last
    return pieces, end


def _leading(whole: Layout, first: int) -> str:
    return "".join(f"{line}\n" for line in whole.lines[:first])


def _with_gap(piece: Piece, gap: str, before: Sequence[Piece]) -> Piece:
    usual = gap == _usual(before[-1] if before else None, piece)
    return piece if usual else Piece(piece.kind, piece.source, gap)


def _usual(before: Piece | None, piece: Piece) -> str:
    """Return what stands between two pieces when nothing says otherwise."""
    if before is None:
        return ""
    return "\n" if before.kind == "markdown" and piece.kind == "code" else "\n\n"


def _piece(kind: str, lines: Sequence[str]) -> Piece:
    if kind == "command":
        return Piece("code", "\n".join(line.removeprefix("# ") for line in lines))
    if kind == "comment" and (text := uncommented(lines)) is not None:
        return Piece("markdown", text)
    return Piece("code", "\n".join(lines))


def _blocks(whole: Layout) -> Iterator[tuple[str, int, int]]:
    """Yield what stands together: its kind, its first line and the line after it, from 0."""
    at, count = 0, len(whole.lines)
    while at < count:
        first, kind = at, _kind(whole, at)
        at += 1
        if kind == "blank":
            continue
        while at < count and (_kind(whole, at) == kind != "statement" or _more(whole, at)):
            at += 1
        if kind == "comment" and uncommented(whole.lines[first:at]) is None:
            at, kind = _joined(whole, at), "statement"
        yield kind, first, at


def _joined(whole: Layout, at: int) -> int:
    """Return the end of the statement that begins here, or here."""
    if at < len(whole.lines) and _kind(whole, at) == "statement":
        at += 1
        while at < len(whole.lines) and _more(whole, at):
            at += 1
    return at


def _more(whole: Layout, at: int) -> bool:
    return whole.kinds[at] is Kind.MORE


def _kind(whole: Layout, at: int) -> str:
    kind = whole.kinds[at]
    if kind is Kind.BLANK:
        return "blank"
    if kind is Kind.DIRECTIVE:
        return "directive"
    if kind is Kind.COMMENT:
        return "command" if KNOWN.fullmatch(whole.lines[at]) else "comment"
    return "statement"


def write(pieces: Sequence[Piece], end: str) -> str | None:
    """Return the Dockerfile of pieces; None where it would lose parser directives."""
    found = layouts(pieces)
    bearing = [number for number, one in enumerate(found) if one is not None and one.bears]
    if bearing and bearing[0] > 0 and _directives(found[bearing[0]]):
        return None
    written: list[str] = []
    last: Piece | None = None
    for piece, code in zip(pieces, found, strict=True):
        lines = commented(piece.source) if code is None else instructions(code)
        gap = piece.before if piece.before is not None else _usual(last, piece)
        written += [gap, "\n".join(lines)]
        last = piece
    return "".join([*written, end])


def _directives(code: Layout | None) -> bool:
    return code is not None and Kind.DIRECTIVE in code.kinds
