"""The figures in HTML and SVG: no script, every bar a row of a real table, every fold a button.

Colours are those of JupyterLab's theme where there is one. All words are escaped: commands, names
and paths are the image's.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..failures import one_line
from .facts import Section

if TYPE_CHECKING:
    from .timeline import Step, Timeline

_LANE, _GAP = 18, 6  # pixels
_NARROWEST = 0.15  # percent of the width
# Where there is no theme, as in nbviewer, the colours are readable on white and on black.
STYLE = """<style>
.ipyc{color:var(--jp-ui-font-color1,inherit);font-family:var(--jp-ui-font-family,sans-serif);
font-size:var(--jp-ui-font-size1,13px);line-height:1.5;max-width:72em}
.ipyc h4{margin:.2em 0;font-size:1.1em}.ipyc p{margin:.2em 0}
.ipyc details{border-top:1px solid var(--jp-border-color2,#8888);padding:.25em 0}
.ipyc details details{border-top:0;padding:0}
.ipyc summary{cursor:pointer;padding:.1em 0}
.ipyc summary:focus-visible{outline:2px solid var(--jp-brand-color1,#1976d2);outline-offset:2px}
.ipyc .ipyc-dim{color:var(--jp-ui-font-color2,inherit);opacity:.85}
.ipyc .ipyc-scroll{overflow-x:auto}
.ipyc table{border-collapse:collapse;width:100%;margin:.2em 0;font-size:inherit;table-layout:auto}
.ipyc th,.ipyc td{text-align:left;vertical-align:top;padding:1px 10px 1px 0;
overflow-wrap:anywhere;min-width:4em;background:none;border:0;max-width:none}
.ipyc th{font-weight:600}.ipyc tr{background:none!important}
.ipyc td.ipyc-num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.ipyc th.ipyc-num{text-align:right}
.ipyc code,.ipyc td.ipyc-code{font-family:var(--jp-code-font-family,monospace);
font-size:var(--jp-code-font-size,12px);background:none;color:inherit}
.ipyc .ipyc-track{width:34%;min-width:7em}
.ipyc .ipyc-bar{display:block;height:.8em;margin-top:.3em;min-width:2px;border-radius:1px}
.ipyc svg{display:block;width:100%;height:auto;margin:.4em 0}
.ipyc svg text{fill:var(--jp-ui-font-color1,currentColor);font-size:11px}
.ipyc-client{background:var(--jp-ui-font-color2,#777);fill:var(--jp-ui-font-color2,#777)}
.ipyc-engine{background:var(--jp-brand-color1,#1976d2);fill:var(--jp-brand-color1,#1976d2)}
.ipyc-shim{background:var(--jp-info-color1,#0097a7);fill:var(--jp-info-color1,#0097a7)}
.ipyc-launcher{background:var(--jp-warn-color1,#ef6c00);fill:var(--jp-warn-color1,#ef6c00)}
.ipyc-program{background:var(--jp-success-color1,#388e3c);fill:var(--jp-success-color1,#388e3c)}
.ipyc-waits{opacity:.45}
</style>"""


def timeline(shown: Timeline) -> str:
    """Return a timeline: an overview with a lane for each party, then its steps, then the facts."""
    parts = [
        STYLE,
        "<div class='ipyc'>",
        f"<h4>What happened: <code>{_text(shown.title)}</code></h4>",
        f"<p>{_text(shown.summary)}</p>" if shown.summary else "",
        _overview(shown),
        *(_party(shown, who, steps) for who, steps in shown.parties.items()),
        *(section(found) for found in shown.sections),
        *(f"<p class='ipyc-dim'>{_text(line)}</p>" for line in shown.unseen),
        "</div>",
    ]
    return "".join(parts)


def _overview(shown: Timeline) -> str:
    """Return one lane for each party, on one scale."""
    lanes = shown.parties
    left, width = 70, 730
    height = len(lanes) * (_LANE + _GAP)
    parts = []
    for number, (who, steps) in enumerate(lanes.items()):
        top = number * (_LANE + _GAP)
        parts.append(f"<text x='0' y='{top + 13}'>{who}</text>")
        for step in steps:
            begin, end = shown.scale.at(step.begin), shown.scale.at(step.end)
            parts.append(
                f"<rect class='ipyc-{who}{' ipyc-waits' if step.waits else ''}' "
                f"x='{left + begin * width:.2f}' y='{top}' height='{_LANE}' "
                f"width='{max((end - begin) * width, 1):.2f}'>"
                f"<title>{_text(step.what)}: {_took(step)}</title></rect>"
            )
    for cut in shown.scale.cuts:
        x = left + (cut.left + cut.right) / 2 * width
        parts.append(f"<text x='{x:.0f}' y='{height + 10}' text-anchor='middle'>⋯</text>")
    label = escape(f"Timeline of {', '.join(lanes)}; the tables below have every step", quote=True)
    return (
        f"<svg viewBox='0 0 {left + width} {height + 14}' role='img' aria-label='{label}'>"
        f"{''.join(parts)}</svg>"
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
    folded = "" if who == "launcher" else " open"
    return (
        f"<details{folded}><summary><b>{who}</b> ({count}) "
        f"<span class='ipyc-dim'>{escape(PARTIES[who])}</span></summary>"
        "<div class='ipyc-scroll'><table><thead><tr><th scope='col' class='ipyc-track'>when</th>"
        "<th scope='col' class='ipyc-num'>began</th><th scope='col' class='ipyc-num'>took</th>"
        f"<th scope='col'>what</th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(shown: Timeline, step: Step) -> str:
    from .timeline import duration

    begin, end = shown.scale.at(step.begin) * 100, shown.scale.at(step.end) * 100
    width = min(max(end - begin, _NARROWEST), 100 - begin)
    what = _text(step.what)
    if step.detail:
        what = f"<details><summary>{what}</summary><code>{_text(step.detail)}</code></details>"
    waits = " ipyc-waits" if step.waits else ""
    return (
        f"<tr><td class='ipyc-track' aria-hidden='true'><span class='ipyc-bar ipyc-{step.who}"
        f"{waits}' style='margin-left:{begin:.2f}%;width:{width:.2f}%'></span></td>"
        f"<td class='ipyc-num'>{duration(step.begin)}</td>"
        f"<td class='ipyc-num'>{duration(step.took)}</td><td>{what}</td></tr>"
    )


def section(found: Section) -> str:
    """Return facts, folded under their title."""
    head = "".join(f"<th scope='col'>{_text(heading)}</th>" for heading in found.headings)
    rows = "".join(
        "<tr>" + "".join(f"<td class='ipyc-code'>{_text(cell)}</td>" for cell in row) + "</tr>"
        for row in found.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    return (
        f"<details><summary><b>{_text(found.title)}</b> "
        f"<span class='ipyc-dim'>{_text(found.meaning)}</span></summary>"
        f"<div class='ipyc-scroll'>{table}</div></details>"
    )


def _text(words: str) -> str:
    return escape(one_line(words), quote=True)
