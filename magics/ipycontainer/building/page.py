"""A build in a notebook: what is done, each step with its log folded, and under it what goes on.

Two places are drawn. The upper one changes only when a step ends, so that a log which somebody has
opened stays open meanwhile; the lower one is drawn as output comes, and has the result at the end.
Both need no script, and are what the saved notebook has. All words are escaped: they are text.
"""

from __future__ import annotations

import functools
import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..explain.figure import style, words
from ..units import counted
from .dockerfile import Source, numbered
from .steps import CACHED, DONE, ENDED, FAILED, RUNNING, WAITING, Build, Step, Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .failed import Report

_BETWEEN_DRAWS = 0.1
_BETWEEN_PAGES = 0.5  # a page with logs is large, and Jupyter's server drops what is too much
_LIVE_LINES = 8
_LIVE_LOG = 40
_TEXT_LINES = 20
_CHARACTERS = 1 << 18  # of all logs together
_LEAST = 1 << 12
_MARKS = {DONE: "✓", CACHED: "↻", FAILED: "✗", RUNNING: "▶", WAITING: "·"}


@functools.cache
def _style() -> str:
    own = Path(__file__).with_name("build.css").read_text("utf-8")
    return f"{style()}<style>{own}</style>"


class Page:
    """The view; `publisher` returns a function that draws one place, or draws it again."""

    def __init__(
        self,
        build: Build,
        source: Source,
        publisher: Callable[[], Any],
        lines: int,
        *,
        whole: str = "the variable _output has all of it",
    ) -> None:
        self._build, self._source, self._lines, self._whole = build, source, lines, whole
        self._upper, self._lower = publisher(), publisher()
        self._drawn = self._paged = 0.0
        self._stale = False
        self._sending = ""
        self._upper(self._finished(live=True), False)
        self._lower(self._going_on(), False)

    def sending(self, told: str) -> None:
        """Show how much of the context was sent."""
        self._sending = f"Sending the context: {told}"
        self.tick()

    def update(self, step: Step | None) -> None:
        """Show what is new, at most ten times a second."""
        self._sending = ""
        self._stale = self._stale or (step is not None and step.state in ENDED)
        self.tick()

    def tick(self) -> None:
        """Show how time goes by."""
        now = time.monotonic()
        if self._stale and now - self._paged >= _BETWEEN_PAGES:
            self._stale, self._paged = False, now
            self._upper(self._finished(live=True), True)
        if now - self._drawn >= _BETWEEN_DRAWS:
            self._drawn = now
            self._lower(self._going_on(), True)

    def done(self, summary: str) -> None:
        """Leave the steps with their logs, and the result."""
        self._upper(self._finished(live=False), True)
        html = f"<p role='status'><b class='ipyc-done'>✓</b> {words(summary)}</p>"
        self._end(summary, html)

    def failed(self, report: Report) -> None:
        """Leave the steps, and what went wrong where."""
        self._upper(self._finished(live=False), True)
        self._end(_failed_text(report), _failed_html(report, self._whole))

    def _end(self, text: str, html: str) -> None:
        warnings = self._build.warnings
        texts = [_warned_text(one, self._source) for one in warnings]
        shown = "".join(_warned_html(one, self._source) for one in warnings)
        self._lower(_bundle("\n".join([*texts, text]), shown + html), True)

    def _finished(self, *, live: bool) -> dict[str, str]:
        build = self._build
        logged = sum(step.log.count > 0 for step in build.steps.values())
        limit = max(_CHARACTERS // max(logged, 1), _LEAST)
        lines = _LIVE_LOG if live else self._lines // max(logged, 1)
        text, html = [build.title], [f"<h4>{words(build.title)}</h4>"]
        stages = build.stages
        for name, steps in stages.items():
            ended = [step for step in steps if step.state in ENDED]
            if not ended:
                continue
            if len(stages) > 1:
                html.append(f"<p class='ipyc-dim'>{words(name)}</p>")
            items = "".join(_step_html(step, lines, limit, self._whole) for step in ended)
            html.append(f"<div role='list' aria-label='Steps of {words(name)}'>{items}</div>")
            text += [line for step in ended for line in _step_text(step, self._whole)]
        return _bundle("\n".join(text), "".join(html))

    def _going_on(self) -> dict[str, str]:
        steps = list(self._build.steps.values())
        running = [step for step in steps if step.state == RUNNING]
        waiting = sum(step.state == WAITING for step in steps)
        text, html = [], []
        for step in running:
            tail = step.log.tail(_LIVE_LINES)
            text += [f"{step.label} {step.title}  {step.told()}", *(f"    {t}" for t in tail)]
            html.append(_item(_line(step, "div", step.label) + _log(tail)))
        if running:
            html = [f"<div role='list' aria-label='Steps that run'>{''.join(html)}</div>"]
        rest = self._sending
        if waiting:
            rest = f"{counted(waiting, 'step')} waiting"
        elif not steps and not rest:
            rest = "Waiting for the engine"
        if rest:
            text.append(rest)
            html.append(f"<p class='ipyc-dim'>{words(rest)}</p>")
        return _bundle("\n".join(text), "".join(html))


def _bundle(text: str, html: str) -> dict[str, str]:
    return {"text/plain": text, "text/html": f"{_style()}<div class='ipyc'>{html}</div>"}


def _line(step: Step, element: str, label: str) -> str:
    """Return a step's line, which is the summary of its log where it has one."""
    mark = _MARKS[step.state]
    return (
        f"<{element} class='ipyc-line'>"
        f"<span class='ipyc-mark ipyc-{step.state}' aria-hidden='true'>{mark}</span>"
        f"<span class='ipyc-label ipyc-dim'>{words(label)}</span> "
        f"<code class='ipyc-cut'>{words(step.title)}</code> "
        f"<span class='ipyc-told ipyc-{step.state}'>{words(step.told())}</span></{element}>"
    )


def _item(body: str) -> str:
    return f"<div class='ipyc-step' role='listitem'>{body}</div>"


def _step_html(step: Step, lines: int, limit: int, whole: str) -> str:
    shown = _within(step.log.tail(max(lines, _LIVE_LINES)), limit)
    if not shown:
        return _item(_line(step, "div", step.place))
    before = _more(step.log.hidden(len(shown)), whole)
    body = _log(shown, before, f"Output of {step.label}")
    return _item(f"<details>{_line(step, 'summary', step.place)}{body}</details>")


def _within(lines: list[str], limit: int) -> list[str]:
    """Return the last lines that have no more than so many characters."""
    for index in range(len(lines) - 1, -1, -1):
        limit -= len(lines[index]) + 1
        if limit < 0:
            return lines[index + 1 :]
    return lines


def _log(lines: list[str], before: str = "", label: str = "") -> str:
    if not lines:
        return ""
    lines = [before, *lines] if before else lines
    # What can be scrolled is to be reached by the keyboard.
    reach = f" tabindex='0' role='group' aria-label='{words(label)}'" if label else ""
    return f"<pre class='ipyc-log'{reach}>{escape(chr(10).join(lines))}</pre>"


def _more(hidden: int, whole: str) -> str:
    """Say how many lines are not shown and where they are; nothing where all are."""
    return f"[{hidden:,} line{'s' * (hidden != 1)} before; {whole}]" if hidden else ""


def _step_text(step: Step, whole: str) -> Iterator[str]:
    yield f"{_MARKS[step.state]} {step.label} {step.title}  {step.told()}"
    # What a failed step said stands with the reason.
    shown = [] if step.state == FAILED else step.log.tail(_TEXT_LINES)
    if not shown:
        return
    if before := _more(step.log.hidden(len(shown)), whole):
        yield f"    {before}"
    yield from (f"    {line}" for line in shown)


def failed_lines(report: Report) -> Iterator[str]:
    """Yield a failed build as text, for here and for terminals."""
    yield report.headline
    yield from (f"  {line}" for line in numbered(list(report.lines)))
    if report.log:
        yield "the end of its output:"
        yield from (f"    {line}" for line in report.log)
    yield from report.hints


def _failed_text(report: Report) -> str:
    return "\n".join(failed_lines(report))


def _failed_html(report: Report, whole: str) -> str:
    width = max((len(str(line.number)) for line in report.lines), default=0)
    lines = "".join(
        f"<mark>{row}</mark>" if line.marked else f"{row}\n"
        for line, row in (
            (line, escape(f"{line.number or '':>{width}}  {line.text}")) for line in report.lines
        )
    )
    parts = [f"<p role='alert'><b class='ipyc-failed'>✗ {words(report.headline)}</b></p>"]
    if lines:
        parts.append(f"<pre class='ipyc-log' aria-label='The lines'>{lines}</pre>")
    if report.log:
        parts.append("<p>The end of its output:</p>")
        before = _more(report.hidden, whole)
        parts.append(_log(list(report.log), before, "The end of its output"))
    parts += [f"<p>{_coded(hint)}</p>" for hint in report.hints]
    return "".join(parts)


def _coded(hint: str) -> str:
    """Return a hint with what stands between backquotes as code."""
    pieces = words(hint).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))


def _warned_text(warning: Warned, source: Source) -> str:
    return "\n".join(warned_lines(warning, source))


def warned_lines(warning: Warned, source: Source) -> list[str]:
    """Return a warning as text, with its lines."""
    place = source.place(warning.first, warning.last)
    excerpt = [line for line in source.excerpt(warning.first, warning.last) if line.marked]
    head = f"WARNING: {place}: {warning.message}" if place else f"WARNING: {warning.message}"
    return [head, *(f"  {line}" for line in numbered(excerpt))]


def _warned_html(warning: Warned, source: Source) -> str:
    head, *lines = warned_lines(warning, source)
    return f"<p><span class='ipyc-warned'>⚠</span> {words(head)}</p>{_log(lines)}"
