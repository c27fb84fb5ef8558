"""What a person may have meant."""

import difflib
from collections.abc import Iterable

_LONGEST = 40


def closest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the known word that is nearest, or "" when none is near."""
    if len(word) > _LONGEST:
        return ""
    by_lower = {name.lower(): name for name in known if len(name) <= _LONGEST}
    by_lower.pop(word.lower(), None)
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return f" (did you mean {by_lower[found[0]]}?)" if found else ""
