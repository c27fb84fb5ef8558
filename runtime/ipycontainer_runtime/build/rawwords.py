"""The words of ENV, LABEL and ARG, split at blanks outside quotes; quotes and escapes stay."""

import re
from functools import lru_cache

from ipycontainer_runtime.build.words import SPACE


def raw_words(text: str, escape: str) -> list[str]:
    """Return the words; what is open at the end of the text reaches to it."""
    words: list[list[str]] = []
    within = False
    for token in _tokens(escape).finditer(text):
        if token.lastgroup == "blank":
            within = False
            continue
        if not within:
            words.append([])
            within = True
        # An escape at the very end has nothing to escape.
        words[-1].append("" if token[0] == escape else token[0])
    return [joined for word in words if (joined := "".join(word))]


@lru_cache(maxsize=2)
def _tokens(escape: str) -> re.Pattern[str]:
    taken = re.escape(escape)
    return re.compile(
        f"(?P<blank>[{SPACE}]+)"
        f"|(?P<escaped>{taken}.?)"
        "|(?P<single>'[^']*'?)"
        f'|(?P<double>"(?:[^"{taken}]+|{taken}.)*(?:"|{taken}?\\Z))'
        f"|(?P<plain>[^{SPACE}'\"{taken}]+)",
        re.DOTALL,
    )
