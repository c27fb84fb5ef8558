"""What a person may have meant."""

from collections.abc import Iterable

_LONGEST = 40
_MOST = 1000
_FURTHEST = 2
"""Letters that may be added, left out or changed."""


def closest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the known word that is nearest, or "" when none is near."""
    if not word or len(word) > _LONGEST:
        return ""
    near = [
        (_distance(word.lower(), name.lower()), name)
        for name in list(known)[:_MOST]
        if abs(len(name) - len(word)) <= _FURTHEST
    ]
    distance, name = min(near, default=(_FURTHEST + 1, ""))
    return f" (did you mean {name}?)" if 0 < distance <= _FURTHEST else ""


def _distance(one: str, other: str) -> int:
    """Return the edits from one word to another, after Levenshtein."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, counterpart in enumerate(other, 1):
            changed = above[column - 1] + (letter != counterpart)
            line.append(min(changed, above[column] + 1, line[-1] + 1))
        above = line
    return above[-1]
