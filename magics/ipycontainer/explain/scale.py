"""Where a moment of a timeline is drawn: in proportion, but for the pauses, which are cut short.

Between `create` and `start` an hour may pass, a pull takes seconds and a program days, where the
steps of a start take a fraction of a millisecond: on one scale they would all be one point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

_PAUSE = 0.06
"""How much of the width a pause has that was cut."""

Span = tuple[int, int]


class Piece(NamedTuple):
    """A stretch of time and of the width, which is 1 in all."""

    begin: int
    end: int
    left: float
    right: float
    cut: bool


class Scale:
    """Places on a width of 1; `busy` are the spans that are to be seen in proportion."""

    def __init__(self, busy: Iterable[Span], last: int) -> None:
        spans = _merged(busy)
        total = sum(end - begin for begin, end in spans) or 1
        # A gap that would be longer than this is no part of the story.
        longest = total / 8
        edges = _edges(spans, longest, last)
        cuts = sum(cut for _, _, cut in edges)
        shown = sum(end - begin for begin, end, cut in edges if not cut) or 1
        self.pieces: list[Piece] = []
        left = 0.0
        for begin, end, cut in edges:
            width = _PAUSE if cut else (1 - cuts * _PAUSE) * (end - begin) / shown
            self.pieces.append(Piece(begin, end, left, left + width, cut))
            left += width

    def at(self, moment: int) -> float:
        """Return where a moment is, from 0 to 1."""
        for piece in self.pieces:
            if moment <= piece.end:
                length = piece.end - piece.begin
                part = (moment - piece.begin) / length if length else 0.0
                return piece.left + max(part, 0.0) * (piece.right - piece.left)
        return 1.0

    @property
    def cuts(self) -> list[Piece]:
        """The pauses that are drawn shorter than they were."""
        return [piece for piece in self.pieces if piece.cut]


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _edges(spans: Sequence[Span], longest: float, last: int) -> list[tuple[int, int, bool]]:
    """Return the stretches from the first moment to the last, and which of them are cut."""
    if not spans:
        return [(0, max(last, 1), False)]
    edges = [(spans[0][0], spans[0][1], False)]
    for (_, before), (begin, end) in pairwise(spans):
        edges += [(before, begin, begin - before > longest), (begin, end, False)]
    final = spans[-1][1]
    return [*edges, (final, last, last - final > longest)] if last > final else edges
