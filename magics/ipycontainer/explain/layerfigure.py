"""An image's layers in HTML and SVG: how large each is, what it does, and what of it is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..units import decimal_size
from .figure import folded, section, style, words
from .layerlist import UNSEEN, tally, when

if TYPE_CHECKING:
    from .layerlist import Layers

_WIDTH, _HEIGHT = 800, 34


def layers(shown: Layers) -> str:
    """Return a bar of all layers, then a fold for each, then what is wasted."""
    parts = [
        style(),
        "<div class='ipyc'>",
        f"<h4>Layers of <code>{words(shown.title)}</code></h4>",
        f"<p>{words(shown.summary)}</p>",
    ]
    if shown.listed:
        parts += [section(found, opened=True) for found in shown.sections]
    else:
        found = shown.document["Layers"]
        largest = max((layer["Size"] for layer in found), default=0)
        parts += [_overview(shown), *(_layer(layer, largest, shown.known) for layer in found)]
        parts += [section(rest) for rest in shown.sections[1:]]
        parts.append(_metadata(shown.document["Metadata"]))
    if not shown.known:
        parts.append(f"<p class='ipyc-dim'>{words(UNSEEN)}</p>")
    return "".join([*parts, "</div>"])


def _overview(shown: Layers) -> str:
    """Return the layers side by side, as wide as they are large, their hidden part hatched."""
    total = shown.document["Size"] or 1
    left, parts = 0.0, []
    for layer in shown.document["Layers"]:
        width = layer["Size"] / total * _WIDTH
        hidden = layer.get("Hidden", 0) / total * _WIDTH
        told = f"layer {layer['Number']}: {decimal_size(layer['Size'])}"
        if hidden:
            told += f", {decimal_size(layer['Hidden'])} hidden"
        parts.append(
            f"<g><title>{words(told)}</title><rect class='ipyc-engine ipyc-edge' x='{left:.2f}' "
            f"y='0' width='{width:.2f}' height='{_HEIGHT}'/>"
            f"<rect fill='url(#ipyc-hatch)' x='{left + width - hidden:.2f}' y='0' "
            f"width='{hidden:.2f}' height='{_HEIGHT}'/>"
        )
        if width - hidden > 24:
            parts.append(
                f"<text class='ipyc-on' x='{left + 6:.2f}' y='21'>{layer['Number']}</text>"
            )
        parts.append("</g>")
        left += width
    label = words(f"{shown.summary}; hatched: hidden by a later layer")
    hatch = (
        "<pattern id='ipyc-hatch' width='6' height='6' patternUnits='userSpaceOnUse' "
        "patternTransform='rotate(45)'><rect width='6' height='6' fill='#000' opacity='.35'/>"
        "<rect width='3' height='6' fill='#fff' opacity='.85'/></pattern>"
    )
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' preserveAspectRatio='none' role='img' "
        f"aria-label='{label}' style='height:{_HEIGHT}px'><defs>{hatch}</defs>"
        f"{''.join(parts)}</svg>"
        + ("<p class='ipyc-dim'>Hatched: hidden by a later layer.</p>" if shown.known else "")
    )


def _layer(layer: dict[str, Any], largest: int, known: bool) -> str:
    width = layer["Size"] / largest * 100 if largest else 0
    bar = (
        "<span class='ipyc-track' aria-hidden='true'>"
        f"<span class='ipyc-bar ipyc-engine' style='width:{width:.2f}%'></span></span>"
    )
    command = words(layer["CreatedBy"] or layer["Digest"])
    title = (
        f"<b>{layer['Number']}</b> <span class='ipyc-size'>{decimal_size(layer['Size'])}</span> "
        f"{bar} <code class='ipyc-cut'>{command}</code>"
    )
    facts = [("created by", layer["CreatedBy"]), ("created", when(layer))]
    if known:
        facts += [(name.lower(), tally(layer[name])) for name in ("Added", "Changed", "Removed")]
        facts += [("hidden by later layers", decimal_size(layer["Hidden"]))]
    facts += [("digest", layer["Digest"])]
    rows = "".join(
        f"<tr><th scope='row'>{words(name)}</th><td class='ipyc-code'>{words(value)}</td></tr>"
        for name, value in facts
    )
    return folded(title, f"<table><tbody>{rows}</tbody></table>{_largest(layer)}", "ipyc-layer")


def _largest(layer: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td class='ipyc-num'>{decimal_size(entry['Size'])}</td>"
        f"<td class='ipyc-code'>{words(entry['Path'])}</td>"
        f"<td>{'hidden by layer ' + str(entry['HiddenBy']) if entry['HiddenBy'] else ''}</td></tr>"
        for entry in layer.get("Largest", ())
    )
    if not rows:
        return ""
    return (
        "<table><caption>Its largest files</caption><thead><tr><th scope='col' class='ipyc-num'>"
        "size</th><th scope='col'>path</th><th scope='col'><span class='ipyc-dim'>seen</span></th>"
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _metadata(steps: list[dict[str, Any]]) -> str:
    if not steps:
        return ""
    rows = "".join(f"<li><code>{words(step['CreatedBy'])}</code></li>" for step in steps)
    title = "<b>Steps without files</b> <span class='ipyc-dim'>They set what is run.</span>"
    return folded(title, f"<ol>{rows}</ol>")
