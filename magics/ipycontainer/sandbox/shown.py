"""Objects that stay in the sandbox, as a cell shows them."""

from __future__ import annotations

import base64
import sys
from typing import Any

from .errors import plain
from .inside.codec import BadData
from .inside.showing import LARGEST_PICTURE, LONGEST_TEXT

_MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_MARKUP = ("text/html", "image/svg+xml", "text/markdown", "text/latex")
_LONGEST_NAME = 200


class Opaque:
    """An object that is no plain data, and so stayed in the sandbox: what it looks like there.

    `type` is the name of its type and `why` the reason. Pictures are shown as they are; what a page
    would obey (HTML, SVG, Markdown, LaTeX) is taken from trusted sandboxes only.
    """

    def __init__(self, kind: str, text: str, forms: dict[str, str], why: str) -> None:
        self.type = kind
        self.why = why
        self._text = text
        self._forms = forms

    @classmethod
    def read(cls, described: Any, blobs: list[memoryview], *, trusted: bool) -> Opaque:
        """Return the object that the agent has described; raises BadData."""
        if not isinstance(described, dict) or not isinstance(described.get("forms"), dict):
            raise BadData("an object is not described")
        kind = plain(described.get("type"), _LONGEST_NAME)
        why = plain(described.get("why"), _LONGEST_NAME)
        if not trusted:
            why += "; return plain data, or trust the container with Sandbox(..., trusted=True)"
        forms = {}
        for mime, number in described["forms"].items():
            if type(number) is not int or not 0 <= number < len(blobs):
                raise BadData("a form of an object is not there")
            if (form := _form(mime, bytes(blobs[number]), trusted=trusted)) is not None:
                forms[mime] = form
        return cls(kind, plain(described.get("text"), LONGEST_TEXT), forms, why)

    @classmethod
    def missing(cls, error: ImportError) -> Opaque:
        """Return the stand-in for a value whose library this process lacks."""
        name = error.name or "its library"
        why = f"{name} is not installed here: `pip install {name}`, or return plain values"
        return cls(name, f"<a value of {name}, which is not installed here>", {}, why)

    @classmethod
    def unopened(cls, why: str) -> Opaque:
        """Return the stand-in for a pickle that this process cannot open."""
        return cls("pickle", f"<a value that stayed in the sandbox: {plain(why, 500)}>", {}, why)

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        return {"text/plain": self._text, **self._forms}


def _form(mime: Any, data: bytes, *, trusted: bool) -> str | None:
    if len(data) > LARGEST_PICTURE:
        return None
    if mime in _MAGIC:
        # By its first bytes: a front end shows a picture as its type says, and nothing else.
        return base64.b64encode(data).decode() if data.startswith(_MAGIC[mime]) else None
    return data.decode("utf-8", "replace") if trusted and mime in _MARKUP else None


def show(value: Any) -> None:
    """Display a value in the cell that runs; elsewhere its text is printed."""
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            display(value)  # type: ignore[no-untyped-call] # IPython has no types here
            return
    print(repr(value), flush=True)
