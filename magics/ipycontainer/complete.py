"""Tab in a `%container` line: verbs, flags, images, containers, and `{variables}`.

Registered with IPython's completer as a matcher; what can stand where comes from the verbs'
declarations, by click's own completion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, SimpleMatcherResult, context_matcher

if TYPE_CHECKING:
    from docker import DockerClient
    from IPython.core.completer import CompletionContext

    from .preferences import Preferences
    from .session import Session

_LINE = re.compile(r"^\s*(?:[\w\s,.]+=\s*)?%%?container\s+(.*)$", re.DOTALL)
_ARGUMENTS = (str, int, float, PurePath, list, tuple)


def matcher(
    connect: Callable[[], DockerClient],
    names: Mapping[str, Any],
    prefer: Callable[[], Preferences],
) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Return what IPython's completer asks for every Tab; it answers for our lines alone."""

    @context_matcher()  # type: ignore[untyped-decorator] # IPython's is untyped
    def container_matcher(context: CompletionContext) -> SimpleMatcherResult:
        from .cell import Cell
        from .session import Session

        line = _LINE.match(context.text_until_cursor)
        if line is None:
            return SimpleMatcherResult(completions=[])
        words = line[1].split()
        last = words.pop() if words and not line[1][-1].isspace() else ""
        if last.startswith("{"):
            found = _variables(last, names)
        else:
            session = Session(Cell(_body(context), live=False, rich=False), connect, prefer=prefer)
            found = offered(words, last, session)
        return SimpleMatcherResult(
            completions=[SimpleCompletion(text=text, type="argument") for text in found],
            matched_fragment=last,
            suppress=True,
            ordered=True,
        )

    found: Callable[[CompletionContext], SimpleMatcherResult] = container_matcher
    return found


def _body(context: CompletionContext) -> str | None:
    """Return the lines under the `%%container` line that is written: a Dockerfile has stages."""
    text = context.full_text
    if "\n" in context.text_until_cursor.lstrip() or not text.lstrip().startswith("%%"):
        return None
    return text[len(context.text_until_cursor) :].partition("\n")[2]


def _variables(last: str, names: Mapping[str, Any]) -> list[str]:
    star = "*" if last.startswith("{*") else ""
    start = last[1 + len(star) :]
    return [
        f"{{{'*' if isinstance(value, (list, tuple)) else star}{name}}}"
        for name, value in sorted(names.items())
        if name.startswith(start) and not name.startswith("_") and _is_argument(value)
    ]


def _is_argument(value: object) -> bool:
    return isinstance(value, _ARGUMENTS) or isinstance(getattr(value, "id", None), str)


def offered(words: list[str], last: str, session: Session) -> list[str]:
    """Return what could stand after these words and begins with `last`."""
    from click.shell_completion import ShellComplete

    from .verbs import main

    completion = ShellComplete(main, {"obj": session}, session.program, "")
    return [item.value for item in completion.get_completions(words, last)]
