"""A Dockerfile's text as statements: directives, comments, continued lines and heredocs taken in.

Lines end at a line feed, with or without a carriage return before it. What is a comment, a
directive or a continued line is decided as BuildKit does (its parser, 2024-2025):

- Parser directives stand at the top, before any other line; the first that is unknown ends them.
- A comment line between continued lines is left out, and so is an empty one, with a warning.
- The escape character continues a line when blanks at most follow it and no other precedes it.
- Leading blanks of a statement's first line go, those of the lines that continue it stay.
"""

import re
from collections.abc import Iterator

import msgspec

from ipycontainer_runtime.build.instructions import Heredoc
from ipycontainer_runtime.build.jsonform import is_json
from ipycontainer_runtime.build.source import DockerfileError, Finding, Span
from ipycontainer_runtime.build.words import SPACE, Keep, Lexer, WordError

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})
_LEADING = re.compile(f"[{SPACE}]*")


class Statement(msgspec.Struct, frozen=True):
    """One instruction before its form is known: `word` as written, `rest` after the flags.

    `line` is all of it without heredocs, as it stands.
    """

    span: Span
    line: str
    word: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...]
    comments: tuple[str, ...]
    escape: str

    @property
    def source(self) -> str:
        """The line without blanks around it."""
        return self.line.strip(SPACE)

    @property
    def keyword(self) -> str:
        """The instruction's name in upper case."""
        return self.word.upper()

    def wrong(self, reason: object) -> DockerfileError:
        """Return the error that this statement cannot be read for a reason."""
        return DockerfileError(str(reason), self.span, self.keyword)


class Reader:
    """Reads a Dockerfile once; `directives` and `findings` are whole when `statements` is done."""

    def __init__(self, text: str) -> None:
        self._lines = text.removeprefix("\ufeff").split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._at = 0
        self._escape = "\\"
        self.directives: dict[str, str] = {}
        self.findings: list[Finding] = []

    def statements(self) -> Iterator[Statement]:
        """Yield the statements in order."""
        self._read_directives()
        comments: list[str] = []
        while self._at < len(self._lines):
            line = self._next().lstrip(SPACE)
            if line.startswith("#"):
                comment = line[1:].strip(SPACE)
                if comment:
                    comments.append(comment)
                else:
                    comments = []
            elif line:
                yield self._statement(line, tuple(comments))
                comments = []

    def read_on_after(self, line: int) -> None:
        """Have `statements` go on after this line, counted from 1.

        For who takes a line for something else than a statement, which may go on over more lines.
        """
        self._at = line

    def _next(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        return line.rstrip("\r")

    def _read_directives(self) -> None:
        while self._at < len(self._lines):
            match = _DIRECTIVE.fullmatch(self._lines[self._at].strip(SPACE))
            name = match[1].lower() if match else ""
            if match is None or name not in _DIRECTIVES:
                return
            self._at += 1
            here = Span(self._at, self._at)
            if name in self.directives:
                raise DockerfileError(f"only one {name} parser directive can be used", here)
            self.directives[name] = match[2]
            if name == "escape":
                self._escape = _escape(match[2], here)

    def _statement(self, line: str, comments: tuple[str, ...]) -> Statement:
        first = self._at
        text = self._continued(line, first)
        span = Span(first, self._at)
        if "\0" in text:
            raise DockerfileError("a zero byte is in no path, word or name: remove it", span)
        word, flags, rest = split(text, self._escape)
        documents: tuple[Heredoc, ...] = ()
        if "<<" in text and _takes_heredocs(word.upper(), rest, self._escape):
            try:
                documents = tuple(self._heredoc(found) for found in heredocs(text))
            except EOFError as error:
                raise DockerfileError(str(error), Span(first, self._at), word.upper()) from error
            span = Span(first, self._at)
        return Statement(span, text, word, flags, rest, documents, comments, self._escape)

    def _continued(self, line: str, first: int) -> str:
        """Return the whole line that begins with `line`."""
        begun, more = self._without_escape(line)
        pieces = [begun]
        empty = False
        while more and self._at < len(self._lines):
            line = self._next()
            bare = line.lstrip(SPACE)
            if bare.startswith("#"):
                continue
            if not bare:
                empty = True
                continue
            piece, more = self._without_escape(line)
            pieces.append(piece)
        if empty:
            here = Span(first, self._at)
            self.findings.append(Finding("NoEmptyContinuation", "Empty continuation line", here))
        return "".join(pieces)

    def _without_escape(self, line: str) -> tuple[str, bool]:
        kept = line.rstrip(" \t")
        continued = kept.endswith(self._escape) and kept[-2:-1] != self._escape
        return (kept[:-1], True) if continued else (line, False)

    def _heredoc(self, found: Heredoc) -> Heredoc:
        """Return the heredoc with its content, read from the lines that come."""
        begin = self._at
        while self._at < len(self._lines):
            line = self._next()
            if (line.lstrip("\t") if found.chomp else line) == found.name:
                lines = self._lines[begin : self._at - 1]
                content = "".join(f"{line}\n" for line in lines)
                return Heredoc(found.name, content, found.expand, found.chomp, found.descriptor)
        raise EOFError(f"unterminated heredoc: no line is {found.name} alone")


def _escape(value: str, span: Span) -> str:
    if value not in ("\\", "`"):
        raise DockerfileError(f"invalid escape token '{value}' does not match ` or \\", span)
    return value


def split(text: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """Return the instruction's word, its flags and the rest of a statement on one line."""
    word, *others = _BLANKS.split(text.strip(SPACE), maxsplit=1)
    if not others:
        return word, (), ""
    flags, rest = _flags(others[0], escape)
    return word, tuple(flags), rest.strip(SPACE)


def _flags(text: str, escape: str) -> tuple[list[str], str]:
    """Take the words that begin with `--`, unquoted; `--` alone is the last."""
    flags: list[str] = []
    at = 0
    while True:
        blanks = _LEADING.match(text, at)
        at = blanks.end() if blanks else at
        if not text.startswith("--", at):
            return flags, text[at:]
        flag, at = _flag(text, at, escape)
        if flag == "--":
            return flags, text[at:]
        flags.append(flag)


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    taken: list[str] = []
    quote = ""
    while at < len(text):
        character = text[at]
        if character == escape:
            taken.append(text[at + 1 : at + 2])
            at += 1
        elif character == quote:
            quote = ""
        elif quote:
            taken.append(character)
        elif character in "'\"":
            quote = character
        elif character in SPACE:
            break
        else:
            taken.append(character)
        at += 1
    return "".join(taken), at


def _takes_heredocs(keyword: str, rest: str, escape: str) -> bool:
    if keyword == "ONBUILD":
        word, _, rest = split(rest, escape)
        keyword = word.upper()
    return keyword in _WITH_HEREDOCS and not is_json(rest)


def heredocs(text: str) -> list[Heredoc]:
    """Return the heredocs that a statement's line announces, without content."""
    try:
        words = Lexer({}, keep=Keep.ALL).words(text)
    except WordError:
        # The shell that gets the line will say what is wrong with it.
        return []
    return [found for found in map(heredoc, words) if found]


def heredoc(word: str) -> Heredoc | None:
    """Return the heredoc that a word announces: `<<NAME`, `3<<-"NAME"`; None for another word."""
    match = _HEREDOC.fullmatch(word)
    if match is None or not match[3]:
        return None
    try:
        names = Lexer({}, keep=Keep.UNSET).words(match[3])
    except WordError:
        return None
    if len(names) != 1:
        return None
    # What is quoted loses its quotes; what is escaped is a part of the name.
    written = "".join(Lexer({}, keep=Keep.UNSET | Keep.QUOTES).words(match[3]))
    quoted = _quotes(written) != _quotes(names[0])
    return Heredoc(names[0], "", not quoted, match[2] == "-", int(match[1][:9] or 0))


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
