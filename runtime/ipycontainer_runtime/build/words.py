"""Words of a Dockerfile: quotes, escapes and `$NAME`, `${NAME…}`.

The grammar is that of Docker's reference (environment replacement); where that is silent, a corner
is as BuildKit has it: `$` before no name stays, an escape at the end is dropped, `\\` in double
quotes escapes `"`, `$` and itself only.
"""

import enum
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ipycontainer_runtime.build.patterns import Pattern, PatternError

SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
SPACE += "\u2028\u2029\u202f\u205f\u3000"
"""What Go, and so Docker, takes for white space; Python takes four control characters more."""
MAX_EXPANDED = 1 << 20
"""Characters that the variables of one word may bring in: `${a}${a}…` of `${b}${b}…` explodes."""
_DEEPEST = 50
"""How far `${a:-${b:-…}}` may nest."""

_SPACES = re.compile(f"[{SPACE}]+")
_BLANKS = re.compile("[ \t\r\n]*")
_NAME = re.compile(r"\d+|[@*#?\-$!]|[^\W\d]\w*")
_OPERATORS = "+-?#%"
_OPEN = "syntax error: missing '}'"


class WordError(ValueError):
    """A word that cannot be read or expanded; the message says why."""


class Keep(enum.Flag):
    """What stays as it is written."""

    NOTHING = 0
    QUOTES = enum.auto()
    ESCAPES = enum.auto()
    UNSET = enum.auto()
    ALL = QUOTES | ESCAPES | UNSET


class Lexer:
    """Reads words with the values of `variables`; names that have none end up in `missing`.

    With `quotes` off, quotes are characters like others, as in a heredoc.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        escape: str = "\\",
        *,
        quotes: bool = True,
        keep: Keep = Keep.NOTHING,
    ) -> None:
        self._variables = variables
        self._escape = escape
        self._quotes = quotes
        self._keep_quotes = Keep.QUOTES in keep
        self._keep_escapes = Keep.ESCAPES in keep
        self._keep_unset = Keep.UNSET in keep
        self.missing: set[str] = set()
        self._text = ""
        self._at = 0
        self._room = MAX_EXPANDED

    def word(self, text: str) -> str:
        """Return the text as one word, blanks and all."""
        return "".join(piece for piece, _ in self._read(text))

    def words(self, text: str) -> list[str]:
        """Return the words of the text, split after the variables' values are in."""
        return list(_split(self._read(text)))

    def _read(self, text: str) -> list[tuple[str, bool]]:
        self._text, self._at, self._room = text, 0, MAX_EXPANDED
        return self._until("", keep_escapes=self._keep_escapes, depth=0)

    def _until(self, stop: str, *, keep_escapes: bool, depth: int) -> list[tuple[str, bool]]:
        """Read up to `stop` and over it; a piece that is True is never split."""
        if depth > _DEEPEST:
            raise WordError(f"${{…}} nests deeper than {_DEEPEST}")
        plain = _plain(self._escape, self._quotes, stop)
        pieces: list[tuple[str, bool]] = []
        while self._at < len(self._text):
            run = plain.match(self._text, self._at)
            if run:
                pieces.append((run[0], False))
                self._at = run.end()
                continue
            character = self._text[self._at]
            if character == stop:
                self._at += 1
                return pieces
            pieces.extend(self._special(character, keep_escapes, depth))
        if stop:
            raise WordError("syntax error: missing '/' in ${}" if stop == "/" else _OPEN)
        return pieces

    def _special(
        self, character: str, keep_escapes: bool, depth: int
    ) -> Iterator[tuple[str, bool]]:
        if character == "$":
            yield self._dollar(depth), False
        elif character == "<":
            yield self._arrows(), True
        elif character == self._escape:
            if keep_escapes:
                yield character, True
            yield self._text[self._at + 1 : self._at + 2], True
            self._at += 2
        elif character == "'" and self._quotes:
            yield self._single_quoted(), True
        elif character == '"' and self._quotes:
            yield self._double_quoted(keep_escapes, depth), True
        else:
            self._at += 1
            yield character, False

    def _arrows(self) -> str:
        """Take `<`, or `<<` with the blanks after it, which belong to a heredoc's word."""
        end = self._at + 1
        if self._text.startswith("<<", self._at):
            blanks = _BLANKS.match(self._text, self._at + 2)
            end = blanks.end() if blanks else end + 1
        taken = self._text[self._at : end]
        self._at = end
        return taken

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise WordError("unexpected end of statement while looking for matching single-quote")
        inside = self._text[self._at : end + 1]
        self._at = end + 1
        return inside if self._keep_quotes else inside[1:-1]

    def _double_quoted(self, keep_escapes: bool, depth: int) -> str:
        taken = ['"'] if self._keep_quotes else []
        plain = _inside(self._escape)
        self._at += 1
        while self._at < len(self._text):
            run = plain.match(self._text, self._at)
            if run:
                taken.append(run[0])
                self._at = run.end()
                continue
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                return "".join(taken) + ('"' if self._keep_quotes else "")
            if character == "$":
                taken.append(self._dollar(depth))
                continue
            following = self._text[self._at + 1 : self._at + 2]
            if following in ('"', "$", self._escape) and following:
                taken.append(character + following if keep_escapes else following)
                self._at += 2
            else:
                # At the very end it goes, before anything else it stays.
                taken.append(character if following else "")
                self._at += 1
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self, depth: int) -> str:
        begin = self._at
        self._at += 1
        if not self._text.startswith("{", self._at):
            name = self._name()
            return self._taken(self._value(name), begin) if name else "$"
        self._at += 1
        following = self._text[self._at : self._at + 1]
        if not following:
            raise WordError(_OPEN)
        if following in "{}:":
            raise WordError("syntax error: bad substitution")
        name = self._name()
        value = self._substitution(name, depth)
        return self._taken(value, begin)

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        if value is None:
            self.missing.add(name)
        elif "\0" in value:  # from a build argument, or from an image that somebody made by hand
            raise WordError(f"the value of {name} has a zero byte: set it anew")
        return value

    def _taken(self, value: str | None, begin: int) -> str:
        """Return a value within the room there is; for one that is unset, nothing or its text."""
        if value is None:
            return self._text[begin : self._at] if self._keep_unset else ""
        self._room -= len(value)
        if self._room < 0:
            raise WordError(f"its variables' values are longer than {MAX_EXPANDED} characters")
        return value

    def _substitution(self, name: str, depth: int) -> str | None:
        """Return what stands for `${NAME…}`, read from behind the name; None where it is unset."""
        operator = self._text[self._at : self._at + 1]
        self._at += 1
        if operator == "}":
            return self._value(name)
        if operator == "/":
            return self._replacement(name, depth)
        colon = operator == ":"
        if colon:
            operator = self._text[self._at : self._at + 1]
            self._at += 1
        if not operator:
            raise WordError(_OPEN)
        if operator not in _OPERATORS:
            written = f":{operator}" if colon else operator
            raise WordError(f"unsupported modifier ({written}) in substitution")
        trims = operator in "#%"
        word = self._joined("}", depth, keep_escapes=trims)
        if self._keep_unset:
            return self._value(name)
        if trims:
            return self._trimmed(self._value(name), operator, word)
        return self._default(name, operator, word, colon=colon)

    def _joined(self, stop: str, depth: int, *, keep_escapes: bool) -> str:
        pieces = self._until(stop, keep_escapes=keep_escapes, depth=depth + 1)
        return "".join(piece for piece, _ in pieces)

    def _default(self, name: str, operator: str, word: str, *, colon: bool) -> str:
        value = self._value(name)
        absent = value is None or (colon and not value)
        if operator == "-":
            return word if value is None or absent else value
        if operator == "+":
            return "" if absent else word
        if value is None or absent:
            how = "unset" if value is None else "empty"
            raise WordError(f"{name}: {word or f'is not allowed to be {how}'}")
        return value

    def _trimmed(self, value: str | None, operator: str, word: str) -> str | None:
        longest = word.startswith(operator)
        pattern = _pattern(word[1:] if longest else word)
        if value is None:
            return None
        if operator == "#":
            return pattern.without_prefix(value, longest=longest)
        return pattern.without_suffix(value, longest=longest)

    def _replacement(self, name: str, depth: int) -> str | None:
        every = self._text.startswith("/", self._at)
        self._at += every
        wanted = self._joined("/", depth, keep_escapes=True)
        by = self._joined("}", depth, keep_escapes=True)
        value = self._value(name)
        if value is None or self._keep_unset:
            return value
        try:
            return _pattern(wanted).replaced(value, by, every=every, limit=MAX_EXPANDED)
        except OverflowError as error:
            raise WordError(f"${{{name}/…}} is longer than {MAX_EXPANDED} characters") from error


def split(text: str) -> list[str]:
    """Return the words of a text in which blanks alone mean something."""
    return list(filter(None, _SPACES.split(text)))


def is_plain(text: str, escape: str) -> bool:
    """Tell whether a text has nothing that a lexer would change or look at."""
    return not text or _plain(escape, True, "").fullmatch(text) is not None


@lru_cache(maxsize=16)
def _plain(escape: str, quotes: bool, stop: str) -> re.Pattern[str]:
    special = f"$<{stop}" + ("'\"" if quotes else "")
    return re.compile(f"[^{special}{re.escape(escape)}]+")


@lru_cache(maxsize=2)
def _inside(escape: str) -> re.Pattern[str]:
    plain = f'[^"${re.escape(escape)}]'
    # An escape before anything that is not special stays, and so does what follows.
    return re.compile(f"(?:{plain}+|{re.escape(escape)}{plain})+")


@lru_cache(maxsize=64)
def _pattern(text: str) -> Pattern:
    try:
        return Pattern(text)
    except PatternError as error:
        raise WordError(f"invalid pattern ({text[:80]}) in substitution: {error}") from error


def _split(pieces: list[tuple[str, bool]]) -> Iterator[str]:
    word: list[str] = []
    for text, whole in pieces:
        first, *others = [text] if whole else _SPACES.split(text)
        word.append(first)
        for other in others:
            if any(word):
                yield "".join(word)
            word = [other]
    if any(word):
        yield "".join(word)
