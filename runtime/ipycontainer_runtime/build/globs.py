"""Patterns of paths, as `.dockerignore` has them.

Compiled to a regular expression where that cannot take long; a pattern with many wildcards steps
through a path a character at a time with all the places it may be at, so that none takes longer
than its length times that of the path.
"""

import re
from collections.abc import Callable

import msgspec

from ipycontainer_runtime.errors import InvalidParameter

_MOST_STARS = 2
"""Wildcards of any length that a regular expression is trusted with."""
_LONGEST = 4096


class _Token(msgspec.Struct, frozen=True):
    """One part of a pattern: what `source` matches, once or, if it is a star, any number of it."""

    source: str
    star: bool = False


_ANY = _Token("[^/]")
_STAR = _Token("[^/]*", star=True)
_FOLDERS = _Token("(?:.*/)?", star=True)
_REST = _Token(".*", star=True)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a whole path matches; InvalidParameter for what is no pattern."""
    if len(pattern) > _LONGEST:
        raise InvalidParameter(f"pattern {pattern[:80]!r}… is longer than {_LONGEST} characters")
    if pattern.startswith("**") and not set(pattern[2:]) & set("*?[]\\"):
        return _ends(pattern[2:])
    tokens = _tokens(pattern)
    if sum(token.star for token in tokens) > _MOST_STARS:
        return _Steps(tokens).matches
    source = "".join(token.source for token in tokens)
    try:
        compiled = re.compile(source, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidParameter(f"syntax error in pattern {pattern[:200]!r}: {error}") from error
    return lambda path: compiled.fullmatch(path) is not None


def _ends(suffix: str) -> Callable[[str], bool]:
    return lambda path: path.endswith(suffix) or (suffix[:1] == "/" and path == suffix[1:])


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        token, at = _token(pattern, at)
        if not (token.star and tokens[-1:] == [token]):
            tokens.append(token)
    return tokens


def _token(pattern: str, at: int) -> tuple[_Token, int]:
    character = pattern[at]
    if pattern.startswith("**", at):
        end = at + 3 if pattern.startswith("**/", at) else at + 2
        return (_REST if end == len(pattern) else _FOLDERS), end
    if character == "*":
        return _STAR, at + 1
    if character == "?":
        return _ANY, at + 1
    if character == "[":
        return _set(pattern, at)
    if character == "\\":
        if at + 1 == len(pattern):
            raise InvalidParameter(f"syntax error in pattern {pattern[:200]!r}: it ends with \\")
        return _Token(re.escape(pattern[at + 1])), at + 2
    return _Token(re.escape(character)), at + 1


def _set(pattern: str, at: int) -> tuple[_Token, int]:
    """Return the token of `[a-z]` or `[^a-z]`, in which a backslash escapes."""
    match = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL).match(pattern, at)
    if match is None:
        raise InvalidParameter(f"syntax error in pattern {pattern[:200]!r}: `[` without `]`")
    parts = re.findall(r"(\\?.)(?:-(\\?.))?", match[2], re.DOTALL)
    inside = "".join(
        re.escape(low[-1]) + (f"-{re.escape(high[-1])}" if high else "") for low, high in parts
    )
    if any(high and high[-1] < low[-1] for low, high in parts):
        raise InvalidParameter(f"syntax error in pattern {pattern[:200]!r}: a range runs backwards")
    return _Token(f"[{match[1]}{inside}]"), match.end()


class _Steps:
    """A pattern as the places that a path may have come to in it, each a bit.

    Place N is before token N. Within `**/`, before its slash has come, is a row of bits of its own.
    """

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._stars = self._places(_STAR) | self._places(_REST)
        self._rests = self._places(_REST)
        self._folders = self._places(_FOLDERS)
        self._by_character: dict[str, int] = {}

    def _places(self, wanted: _Token) -> int:
        return sum(1 << place for place, token in enumerate(self._tokens) if token == wanted)

    def matches(self, path: str) -> bool:
        """Tell whether the whole path matches."""
        places, within = self._skipped(1), 0
        for character in path:
            within = (places | within) & self._folders
            kept = places & (self._rests if character == "/" else self._stars)
            moved = (places & self._taking(character)) | (within if character == "/" else 0)
            places = self._skipped(kept | moved << 1)
            if not places | within:
                return False
        return bool(places >> len(self._tokens))

    def _skipped(self, places: int) -> int:
        """Return the places and those behind stars, of which no more than two stand together."""
        for _ in range(2):
            places |= (places & (self._stars | self._folders)) << 1
        return places

    def _taking(self, character: str) -> int:
        """Return the places whose token takes this character, once."""
        if character not in self._by_character:
            self._by_character[character] = sum(
                1 << place
                for place, token in enumerate(self._tokens)
                if not token.star and re.fullmatch(token.source, character, re.DOTALL)
            )
        return self._by_character[character]
