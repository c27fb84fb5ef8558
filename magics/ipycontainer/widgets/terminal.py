"""The terminal in a cell, as the front end has it: `static/terminal.js` is the other half."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import anywidget
import traitlets

from .bundles import STATIC, module, style

_LIBRARIES = ("xterm.mjs", "addon-fit.mjs")


@cache
def _libraries() -> list[bytes]:
    return [(STATIC / "vendor" / name).read_bytes() for name in _LIBRARIES]


class TerminalView(anywidget.AnyWidget):
    """One terminal in the page; messages of the front end are given to `receive`.

    They are {"type": ready | gone | keys | resize | drawn | focus | press, …} and come on the
    kernel's main thread or on a subshell's.
    """

    _esm = module("terminal")
    _css = style("vendor/xterm.css")

    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Enum(["running", "detached", "ended"], "running").tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    actions = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, title: str, actions: list[str]) -> None:
        super().__init__(title=title, actions=actions)
        self.receive: Callable[[dict[str, Any]], None] = lambda message: None
        self.closing: Callable[[], None] = lambda: None
        self.on_msg(self._message)

    def _message(self, _widget: object, message: dict[str, Any], _buffers: object) -> None:
        # Not a part of the state, which every front end and every saved notebook would copy.
        if message.get("type") == "libraries":
            self.send({"type": "libraries"}, buffers=_libraries())
        else:
            self.receive(message)

    def close(self) -> None:
        """Take it out of every page; what it is of is left."""
        self.closing()
        super().close()

    def show(self, kind: str, end: int, data: bytes) -> None:
        """Send bytes: `output`, or a `replay` on a terminal that is reset; `end` comes back."""
        self.send({"type": kind, "end": end}, buffers=[data])
