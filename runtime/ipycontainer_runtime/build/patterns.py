"""The patterns of `${NAME#…}`, `${NAME%…}` and `${NAME/…/…}`: `*` any text, `?` any character.

Between its stars a pattern is a row of fixed pieces, and looking for each at the first (or last)
place it can be is enough; so no pattern takes longer than its length times that of the value.
"""

import re
from itertools import pairwise

_LONGEST = 256
"""Characters of a pattern; one with `?` may be compared at every place of a value."""


class PatternError(ValueError):
    """A pattern that is no pattern; the message says why."""


class Pattern:
    """One parsed pattern. `\\*`, `\\?` and `\\\\` are the characters themselves."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise PatternError(f"longer than {_LONGEST} characters")
        self._forward = [_Piece(piece) for piece in _pieces(text)]
        self._backward = [_Piece(piece.tokens[::-1]) for piece in reversed(self._forward)]

    def without_prefix(self, value: str, *, longest: bool) -> str:
        """Return the value less what matches at its beginning."""
        end = _end(self._forward, value, 0, longest=longest)
        return value if end is None else value[end:]

    def without_suffix(self, value: str, *, longest: bool) -> str:
        """Return the value less what matches at its end."""
        backwards = value[::-1]
        end = _end(self._backward, backwards, 0, longest=longest)
        return value if end is None else backwards[end:][::-1]

    def replaced(self, value: str, by: str, *, every: bool, limit: int) -> str:
        """Return the value with the first match, or every one, replaced; each as long as can be.

        OverflowError once the result would be longer than `limit` characters.
        """
        spans = self._matches(value, every=every)
        if len(value) + len(spans) * len(by) > limit:
            raise OverflowError
        cuts = [0, *(edge for span in spans for edge in span), len(value)]
        return by.join(value[begin:end] for begin, end in zip(cuts[::2], cuts[1::2], strict=True))

    def _matches(self, value: str, *, every: bool) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        at = 0
        while at <= len(value):
            begin = self._forward[0].find(value, at)
            end = None if begin is None else _end(self._forward, value, begin, longest=True)
            if begin is None or end is None:
                break
            # As Go's regexp: nothing is replaced right after what was.
            if end > begin or not spans or begin > spans[-1][1]:
                spans.append((begin, end))
            if not every:
                break
            at = end if end > begin else end + 1
        return spans


class _Piece:
    """What stands between two stars; a token is a character, or "" for `?`."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.size = len(tokens)
        self._text = "".join(tokens) if all(tokens) else None
        source = "".join(re.escape(token) if token else "." for token in tokens)
        self._pattern = re.compile(source, re.DOTALL)

    def at(self, value: str, place: int) -> bool:
        return self._pattern.match(value, place) is not None

    def find(self, value: str, start: int) -> int | None:
        """Return the first place from `start` on where this piece stands."""
        if self._text is not None:
            found = value.find(self._text, start)
            return None if found < 0 else found
        match = self._pattern.search(value, start)
        return match.start() if match else None

    def find_last(self, value: str, start: int) -> int | None:
        """Return the last place from `start` on where this piece stands."""
        if self._text is not None:
            found = value.rfind(self._text, start)
            return None if found < 0 else found
        match = _Piece(self.tokens[::-1])._pattern.search(value[start:][::-1])
        return None if match is None else len(value) - match.start() - self.size


def _end(pieces: list[_Piece], value: str, start: int, *, longest: bool) -> int | None:
    """Return where the match that begins at `start` ends, None where nothing matches there."""
    if not pieces[0].at(value, start):
        return None
    end = start + pieces[0].size
    for piece, following in pairwise([*pieces[1:], None]):
        if piece is None:
            break
        last = following is None
        found = piece.find_last(value, end) if last and longest else piece.find(value, end)
        if found is None:
            return None
        end = found + piece.size
    return end


def _pieces(text: str) -> list[list[str]]:
    pieces: list[list[str]] = [[]]
    characters = iter(text)
    for character in characters:
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append("")
        elif character == "\\":
            pieces[-1].append(_escaped(next(characters, "")))
        else:
            pieces[-1].append(character)
    return pieces


def _escaped(character: str) -> str:
    # `}` and `/` need the escape to stand in `${…}` at all.
    if character not in ("}", "/", "*", "?", "\\"):
        raise PatternError(f"invalid escape '\\{character}'")
    return character
