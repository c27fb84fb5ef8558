"""Which cells of two runs of a notebook came to something else, and how."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ipycontainer_kernel.notebooks.outputs import lines

SAVED: Final = "as saved"
AGAIN: Final = "run again"
_MOST = 60
"""Lines of one difference that are shown."""
_WIDEST = 400
"""Characters of one such line."""
_DIFFED = 4000
"""Lines of an output that are looked at: difflib's time grows with their square."""


@dataclass(frozen=True)
class Difference:
    """A cell whose outputs differ. `cell` counts all cells from 1, as a person does."""

    cell: int
    source: str
    """The first line of its code."""
    between: str
    """`SAVED` or `AGAIN`: what the first run is compared with."""
    diff: tuple[str, ...]
    """Lines of a unified diff: `-` what was expected, `+` what came."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            "cell": self.cell,
            "source": self.source,
            "between": self.between,
            "diff": list(self.diff),
        }


def differences(
    expected: Mapping[str, Any], came: Mapping[str, Any], between: str
) -> Iterator[Difference]:
    """Yield the cells of two forms of one notebook, as nbformat has it, whose outputs differ."""
    pairs = zip(expected["cells"], came["cells"], strict=True)
    for number, (before, after) in enumerate(pairs, 1):
        if before["cell_type"] != "code":
            continue
        old, new = lines(before["outputs"]), lines(after["outputs"])
        if old != new:
            yield Difference(number, _first_line(after["source"]), between, tuple(_diff(old, new)))


def _first_line(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")[:_WIDEST]


def _diff(old: list[str], new: list[str]) -> list[str]:
    unified = difflib.unified_diff(old[:_DIFFED], new[:_DIFFED], lineterm="", n=1)
    # The first two lines name files, which there are none of.
    told = [line[:_WIDEST] for line in list(unified)[2:]]
    if not told:
        return [f"differs after {_DIFFED:,} lines: {len(old):,} lines, then {len(new):,}"]
    left = len(told) - _MOST
    return [*told[:_MOST], f"… and {left} lines more"] if left > 0 else told
