"""Long output a page at a time: `static/pager.js` is the other half."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from ..kept import Output
from ..plain import settled
from .bundles import module, style

PAGE = 500
"""How many lines a page has."""


class PagerView(anywidget.AnyWidget):
    """The pages of an `Output`; `text` is what is shown until one is asked for, and saved."""

    _esm = module("pager")
    _css = style()

    text = traitlets.Unicode().tag(sync=True)
    count = traitlets.Int().tag(sync=True)
    page = traitlets.Int(PAGE).tag(sync=True)

    def __init__(self, output: Output, text: str) -> None:
        super().__init__(text=text, count=len(output))
        self._output = output
        self.on_msg(self._message)

    def _message(self, _widget: object, message: dict[str, Any], _buffers: object) -> None:
        start = int(message["start"])
        lines = [settled(line) for line in self._output.lines(start, PAGE)]
        self.send({"type": "page", "start": start, "text": "\n".join(lines), "count": len(lines)})
