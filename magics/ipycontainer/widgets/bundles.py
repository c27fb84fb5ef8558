"""What a cell holds of a live view: the view, and text that is true without it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
_VIEW = "application/vnd.jupyter.widget-view+json"
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


def bundle(text: str, model_id: str | None, html: str | None = None) -> dict[str, Any]:
    """Return a mimebundle; without a model it is the text alone, plain and as HTML."""
    html = f"<pre style='{_PRE}'>{escape(text)}</pre>" if html is None else html
    static = {"text/plain": text, "text/html": html}
    if model_id is None:
        return static
    return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": model_id}, **static}


def publisher() -> Any:
    """Return a function that puts a mimebundle into the cell, or with True anew in its place."""
    from uuid import uuid4

    from IPython.display import publish_display_data

    transient = {"display_id": uuid4().hex}

    def publish(data: dict[str, Any], again: bool) -> None:
        publish_display_data(data, transient=transient, update=again)  # type: ignore[no-untyped-call] # IPython's is untyped

    return publish
