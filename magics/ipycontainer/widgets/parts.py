"""The parts that widgets are made of: each is one ES module in `static/` and what it shows.

A part shows what its traits say. They may be set from any thread, one at a time; every text in them
is shown as text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

import anywidget
from traitlets import Bool, Dict, List, Unicode

from ..plain import Plain, settled, uncoloured
from .bundles import module, style
from .presence import Presence

_KEPT = 400_000
"""Characters of a program's output that a view can have again."""

Summary = dict[str, Any]


def good(text: str) -> Summary:
    """Return a summary that says how things are."""
    return {"text": text, "bad": False}


def bad(text: str) -> Summary:
    """Return a summary that says what went wrong."""
    return {"text": text, "bad": True}


class Part(anywidget.AnyWidget):
    """One piece of a page, with a line under it that a screen reader says."""

    _css = style("parts.css")
    summary = Dict().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.presence = Presence()
        self.on_msg(self.presence.hear)

    def close(self) -> None:
        """Let the views and the threads that feed them go."""
        self.presence.close()
        super().close()


class Bars(Part):
    """A bar for each layer: `rows` are (name, state, fraction)."""

    _esm = module("bars")
    title = Unicode().tag(sync=True)
    rows: List[Any] = List().tag(sync=True)


class Board(Part):
    """Containers, with a button for each thing that can be done; `busy` are ids."""

    _esm = module("board")
    caption = Unicode().tag(sync=True)
    rows: List[Any] = List().tag(sync=True)
    busy: List[Any] = List().tag(sync=True)


class Charts(Part):
    """What containers use."""

    _esm = module("charts")
    caption = Unicode().tag(sync=True)
    rows: List[Any] = List().tag(sync=True)


class Field(Part):
    """A line to type: `enter` is called with it, `complete` with what stands there until then.

    Both are called on the kernel's thread for messages. With `clears` the next line begins empty.
    """

    _esm = module("field")
    label = Unicode().tag(sync=True)
    placeholder = Unicode().tag(sync=True)
    value = Unicode().tag(sync=True)
    options: List[Any] = List().tag(sync=True)
    clears = Bool().tag(sync=True)
    completes = Bool().tag(sync=True)

    def __init__(
        self,
        label: str,
        *,
        enter: Callable[[str], None] = lambda text: None,
        complete: Callable[[str], None] | None = None,
        **traits: Any,
    ) -> None:
        super().__init__(label=label, completes=complete is not None, **traits)
        self._acts = {"enter": enter, "complete": complete}
        self.on_msg(self._hear)

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        kind = content.get("kind") if isinstance(content, dict) else None
        if (act := self._acts.get(str(kind))) is not None:
            act(str(content.get("text", "")))


class Grid(Part):
    """A table of texts that can be searched."""

    _esm = module("grid")
    caption = Unicode().tag(sync=True)
    columns: List[Any] = List().tag(sync=True)
    rows: List[Any] = List().tag(sync=True)


class Output(Part):
    """What a program prints. Its text goes by messages, so that a trait need not be sent whole.

    Escapes are taken away; carriage returns and backspaces are left, for the page to obey.
    """

    _esm = module("output")
    label = Unicode("Output").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._plain = Plain()
        self._pieces: deque[str] = deque()
        self._start = 0  # how many characters there were before the pieces
        self._end = 0
        self._lock = Lock()
        self.on_msg(self._hear)

    @property
    def text(self) -> str:
        """What is kept of what was printed, as a terminal would leave it."""
        return settled("".join(self._pieces))

    @property
    def cut(self) -> bool:
        """Whether there was more than is kept."""
        return self._start > 0

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._plain = Plain()
            self._pieces.clear()
            self._start = self._end = 0
            self._tell("whole")

    def add(self, text: str) -> None:
        """Append what was printed."""
        with self._lock:
            if not (text := uncoloured(self._plain.feed(text))):
                return
            if (over := len(text) - _KEPT) > 0:
                text = self._skip(text, over)
            at, self._end = self._end, self._end + len(text)
            self._pieces.append(text)
            while self._end - self._start > _KEPT and len(self._pieces) > 1:
                self._start += len(self._pieces.popleft())
            self.send({"kind": "text", "at": at, "end": self._end, "text": text})

    def _skip(self, text: str, over: int) -> str:
        """Keep nothing of what came before the end of this text."""
        self._pieces.clear()
        self._start = self._end = self._end + over
        self._tell("whole")
        return text[over:]

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, dict) and content.get("kind") == "want":
            with self._lock:
                self._tell("whole")

    def _tell(self, kind: str) -> None:
        self.send({"kind": kind, "at": self._start, "end": self._start, "text": ""})
        if self._end > self._start:
            whole = {"at": self._start, "end": self._end, "text": "".join(self._pieces)}
            self.send({"kind": "text", **whole})
