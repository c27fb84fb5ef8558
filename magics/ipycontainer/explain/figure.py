"""The figures in HTML and SVG: no script, every bar a row of a real table, every fold a button.

Colours are those of JupyterLab's theme where there is one. All words are escaped: commands, names
and paths are the image's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..failures import one_line
from .facts import Section

if TYPE_CHECKING:
    from .timeline import Step, Timeline

_WIDTH = 1000  # of a lane; it is drawn as wide as there is room
_SHORT = 16  # characters that are not broken into lines
_NARROWEST = 0.15  # percent of the width


@functools.cache
def style() -> str:
    """Return the style that a figure brings along: a saved notebook may be shown anywhere."""
    return f"<style>{Path(__file__).with_name('figure.css').read_text('utf-8')}</style>"


def timeline(shown: Timeline) -> str:
    """Return a timeline: an overview with a lane for each party, then its steps, then the facts."""
    parts = [
        style(),
        "<div class='ipyc'>",
        f"<h4>What happened: <code>{words(shown.title)}</code></h4>",
        f"<p>{words(shown.summary)}</p>" if shown.summary else "",
        _overview(shown),
        *(_party(shown, who, steps) for who, steps in shown.parties.items()),
        *(section(found) for found in shown.sections),
        *(f"<p class='ipyc-dim'>{words(line)}</p>" for line in shown.unseen),
        "</div>",
    ]
    return "".join(parts)


def _overview(shown: Timeline) -> str:
    """Return one lane for each party, on one scale."""
    lanes = "".join(
        f"<div class='ipyc-lane'><span>{who}</span>"
        f"<svg viewBox='0 0 {_WIDTH} 1' preserveAspectRatio='none'>"
        f"{''.join(_piece(shown, step) for step in steps)}</svg></div>"
        for who, steps in shown.parties.items()
    )
    pauses = "".join(
        f"<span style='left:{(cut.left + cut.right) * 50:.2f}%'>⋯</span>"
        for cut in shown.scale.cuts
    )
    cut = f"<div class='ipyc-lane'><span></span><div class='ipyc-cuts'>{pauses}</div></div>"
    label = f"Timeline of {', '.join(shown.parties)}; the tables below have every step"
    return f"<div role='img' aria-label='{words(label)}'>{lanes}{cut if pauses else ''}</div>"


def _piece(shown: Timeline, step: Step) -> str:
    begin, end = shown.scale.at(step.begin) * _WIDTH, shown.scale.at(step.end) * _WIDTH
    waits = " ipyc-waits" if step.waits else ""
    return (
        f"<rect class='ipyc-{step.who}{waits}' x='{begin:.2f}' y='0' height='1' "
        f"width='{max(end - begin, 1):.2f}'><title>{words(step.what)}: {_took(step)}</title></rect>"
    )


def _took(step: Step) -> str:
    from .timeline import duration

    return duration(step.took)


def _party(shown: Timeline, who: str, steps: Sequence[Step]) -> str:
    from .timeline import PARTIES, duration

    own = sum(step.took for step in steps if not step.waits)
    total = f", {duration(own)}" if own else ""
    count = f"{len(steps)} step{'s' * (len(steps) != 1)}{total}"
    rows = "".join(_row(shown, step) for step in steps)
    title = f"<b>{who}</b> ({count}) <span class='ipyc-dim'>{escape(PARTIES[who])}</span>"
    body = (
        "<table class='ipyc-steps'><thead><tr><th scope='col' class='ipyc-track'>when</th>"
        "<th scope='col' class='ipyc-num'>began</th><th scope='col' class='ipyc-num'>took</th>"
        f"<th scope='col'>what</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    return folded(title, body, opened=who != "launcher")


def _row(shown: Timeline, step: Step) -> str:
    from .timeline import duration

    begin, end = shown.scale.at(step.begin) * 100, shown.scale.at(step.end) * 100
    width = min(max(end - begin, _NARROWEST), 100 - begin)
    what = words(step.what)
    if step.detail:
        what = f"<details><summary>{what}</summary><code>{words(step.detail)}</code></details>"
    waits = " ipyc-waits" if step.waits else ""
    return (
        f"<tr><td class='ipyc-track' aria-hidden='true'><span class='ipyc-bar ipyc-{step.who}"
        f"{waits}' style='margin-left:{begin:.2f}%;width:{width:.2f}%'></span></td>"
        f"<td class='ipyc-num'>{duration(step.begin)}</td>"
        f"<td class='ipyc-num'>{duration(step.took)}</td><td>{what}</td></tr>"
    )


def folded(title: str, body: str, kind: str = "", *, opened: bool = False) -> str:
    """Return what a person opens by its title; both are HTML already."""
    return (
        f"<details class='{kind}'{' open' if opened else ''}><summary>{title}</summary>"
        f"<div class='ipyc-scroll'>{body}</div></details>"
    )


def section(found: Section, *, opened: bool = False) -> str:
    """Return facts, folded under their title."""
    head = "".join(f"<th scope='col'>{words(heading)}</th>" for heading in found.headings)
    rows = "".join(
        "<tr>" + "".join(f"<td class='{_cell(cell)}'>{words(cell)}</td>" for cell in row) + "</tr>"
        for row in found.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    title = f"<b>{words(found.title)}</b> <span class='ipyc-dim'>{words(found.meaning)}</span>"
    return folded(title, table, opened=opened)


def _cell(text: str) -> str:
    return "ipyc-code ipyc-short" if len(text) < _SHORT else "ipyc-code"


def words(text: str) -> str:
    """Return text that may be anybody's as HTML."""
    return escape(one_line(text), quote=True)
