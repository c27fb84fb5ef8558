"""What a cell holds of a live view: the view, and text that is true without it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
_VIEW = "application/vnd.jupyter.widget-view+json"
_STILL = "ipycontainer-still"
# JupyterLab's word for a view without its kernel says less than the text above it.
_GONE = (
    f"<style>.jp-OutputArea-child:has(.{_STILL}) + .jp-OutputArea-child"
    " > .jupyter-widgets:not(:has(*)) {display: none}</style>"
)
EMPTY = {"text/html": ""}
"""What shows nothing, to nobody's surprise: nbconvert warns of a bundle without a form it knows."""
_PRE = (
    "margin:0;padding:4px 6px;white-space:pre-wrap;overflow-wrap:anywhere;"
    "color:var(--jp-content-font-color1,inherit);font-family:var(--jp-code-font-family,monospace);"
    "border:1px solid var(--jp-border-color1,#888);border-radius:3px"
)


def style(*names: str) -> str:
    """Return the house's style sheet after others of `static`."""
    return "".join((STATIC / name).read_text() for name in (*names, "theme.css"))


def module(name: str) -> str:
    """Return one of our ES modules, after what they all begin with."""
    files = (STATIC / "common.js", STATIC / f"{name}.js")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def still(text: str, html: str | None = None) -> dict[str, str]:
    """Return text that is true without the view beside it, plain and as HTML."""
    html = f"<pre style='{_PRE}'>{escape(text)}</pre>" if html is None else html
    return {"text/plain": text, "text/html": f"<div class='{_STILL}'>{_GONE}{html}</div>"}


def view(model_id: str) -> dict[str, Any]:
    """Return the mimebundle of a widget's view, which is nothing without its kernel."""
    return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": model_id}, **EMPTY}


class Place:
    """What a cell holds of a widget: its text, and its view.

    They are two outputs, since of one that has both JupyterLab takes the view alone, and where that
    is opened again without its kernel there is nothing to be read. A page that shows the view hides
    the text (`theme.css`), so a new text redraws nothing. `tell` sends a message to the pages.
    """

    def __init__(self, model_id: str, tell: Callable[[dict[str, Any]], None]) -> None:
        from uuid import uuid4

        self._model, self._tell = model_id, tell
        self._ids = [uuid4().hex, uuid4().hex]
        self._shown = False

    def show(self, text: str, html: str | None = None) -> None:
        """Put both into the cell that runs, or the text anew into the one that ran; any thread."""
        self._put(still(text, html), view(self._model))

    def end(self, text: str) -> None:
        """Leave the text, and take the view out."""
        self._put(still(text), EMPTY)

    def _put(self, kept: dict[str, str], shown: dict[str, Any]) -> None:
        again, self._shown = self._shown, True
        outputs = [(self._ids[0], kept), (self._ids[1], shown)]
        live = shown is not EMPTY
        for name, data in outputs[:1] if again and live else outputs:
            _publish(data, name, again=again)
        if again:
            # JupyterLab hands such an update to nobody once its page was loaded anew.
            self._tell({"kind": "kept", "id": self._model, "data": kept, "ended": not live})


class Nowhere:
    """No place: what is shown inside of another widget is that one's to keep."""

    def show(self, text: str, html: str | None = None) -> None:
        """Keep nothing."""

    def end(self, text: str) -> None:
        """Keep nothing."""


def publisher() -> Callable[[dict[str, Any], bool], None]:
    """Return a function that puts a mimebundle into the cell, or with True anew in its place."""
    from uuid import uuid4

    name = uuid4().hex
    return lambda data, again: _publish(data, name, again=again)


def _publish(data: dict[str, Any], name: str, *, again: bool) -> None:
    from IPython.display import publish_display_data

    publish_display_data(data, transient={"display_id": name}, update=again)  # type: ignore[no-untyped-call] # IPython's is untyped
