"""Where in a Dockerfile something stands, and the errors and warnings that show it."""

import json

import msgspec

from ipycontainer_runtime.errors import InvalidParameter


class Span(msgspec.Struct, frozen=True, order=True):
    """The lines of an instruction, counted from 1, heredocs included."""

    first: int
    last: int

    def __str__(self) -> str:
        return (
            f"line {self.first}" if self.first == self.last else f"lines {self.first}-{self.last}"
        )


_LONGEST_REASON = 1000
"""Characters; a Dockerfile's words may be as long as they like."""


class DockerfileError(InvalidParameter):
    """A Dockerfile that cannot be built as it is written.

    `span` is where it goes wrong, `reason` the message without the place; it names the
    instruction, `keyword`.
    """

    def __init__(self, reason: str, span: Span, keyword: str = "") -> None:
        if keyword not in reason:
            reason = f"{keyword}: {reason}"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        super().__init__(f"dockerfile parse error on {span}: {reason}")
        self.reason = reason
        self.span = span


class Finding(msgspec.Struct, frozen=True):
    """What BuildKit's check `rule` says of `span`."""

    rule: str
    message: str
    span: Span


def quoted(text: str) -> str:
    """Return text as a message quotes it, cut where it is long."""
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return json.dumps(shown, ensure_ascii=False)


_LONGEST = 200
_SHOWN = 12
"""Lines of one instruction that are shown; a heredoc may have thousands."""


def excerpt(text: str, span: Span) -> str:
    """Return the lines of `span` with their numbers, and the middle of a long one left out."""
    return excerpt_of("\n".join(text.split("\n")[span.first - 1 : span.last]), span)


def excerpt_of(lines: str, span: Span) -> str:
    """Return the lines that `span` has with their numbers, where the rest is not at hand."""
    width = len(str(span.last))
    numbered = enumerate(lines.split("\n"), span.first)
    shown = [f"{number:>{width}} | {line}" for number, line in numbered]
    if len(shown) > _SHOWN:
        half = _SHOWN // 2
        shown[half:-half] = [f"{'':>{width}} | … {len(shown) - 2 * half} lines"]
    return "\n".join(shown)
