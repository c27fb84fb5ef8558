"""Networks in HTML: each a line down the page, each container a row that touches its networks.

A table, and so read out as one: columns are networks, and a cell is the container's address there.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..published import opened
from .figure import style, words

if TYPE_CHECKING:
    from .networklist import Drawing, Drawn, Member

_COLOURS = ("engine", "program", "launcher", "shim", "client")


@functools.cache
def _style() -> str:
    own = Path(__file__).with_name("network.css").read_text("utf-8")
    return f"{style()}<style>{own}</style>"


def networks(shown: Drawing) -> str:
    """Return the figure of networks and the containers in them, with links to published ports."""
    heads = "".join(_head(at, found) for at, found in enumerate(shown))
    body = "".join(_row(shown, member) for member in shown.members)
    empty = "" if body else f"<tr><th scope='row'></th>{_cells(shown, {})}<td></td></tr>"
    return (
        f"{_style()}<div class='ipyc'><div class='ipyc-scroll'><table class='ipyc-nets'>"
        f"<caption>{words(shown.summary)}</caption>"
        f"<thead><tr><th scope='col'>container</th>{heads}<th scope='col'>published</th></tr>"
        f"</thead><tbody>{body or empty}</tbody></table></div></div>"
    )


def _colour(at: int) -> str:
    return f"ipyc-{_COLOURS[at % len(_COLOURS)]}"


def _head(at: int, found: Drawn) -> str:
    told = [found.driver, found.subnets, "internal" if found.internal else ""]
    if found.gateway and not found.internal:
        told.append(f"gateway {found.gateway}")
    return (
        f"<th scope='col' class='ipyc-net'><span class='ipyc-name {_colour(at)}'>"
        f"{words(found.name)}</span>"
        + "".join(f"<span class='ipyc-dim'>{words(one)}</span>" for one in told if one)
        + "</th>"
    )


def _row(shown: Drawing, member: Member) -> str:
    links = "<br>".join(
        f"{opened(port, shown.machine)} <span class='ipyc-dim'>→ {words(port.inner)}</span>"
        for port in member.ports
    )
    return (
        f"<tr><th scope='row'>{words(member.name)}</th>{_cells(shown, member.addresses)}"
        f"<td class='ipyc-code'>{links}</td></tr>"
    )


def _cells(shown: Drawing, addresses: Mapping[str, str]) -> str:
    return "".join(_cell(at, addresses.get(found.id)) for at, found in enumerate(shown))


def _cell(at: int, address: str | None) -> str:
    line = f"<span class='ipyc-wire {_colour(at)}' aria-hidden='true'></span>"
    if address is None:
        return f"<td class='ipyc-net'>{line}</td>"
    dot = f"<span class='ipyc-dot {_colour(at)}' aria-hidden='true'></span>"
    return f"<td class='ipyc-net ipyc-code'>{line}{dot}{words(address) or 'in it'}</td>"
