"""Which views of a widget there are, and which somebody can see.

What nobody sees is not asked for, and what has no view any more ends.
"""

from __future__ import annotations

import threading
import time
from typing import Any

LEASE = 30.0
"""Seconds that a view counts after its last word; it speaks every 8 (static/common.js)."""


class Presence:
    """The views of one widget: told of by their messages, waited for by the threads that feed it.

    A page that is closed says nothing more, so what a view says holds for a while only.
    """

    def __init__(self) -> None:
        self._views: dict[str, tuple[float, bool]] = {}  # until when, and whether in sight
        self._changed = threading.Condition()
        self._closed = False

    def hear(self, _widget: object, content: Any, _buffers: object) -> None:
        """Take a message of a view's; others are not for us."""
        if not isinstance(content, dict) or content.get("kind") != "presence":
            return
        view = str(content.get("view"))
        with self._changed:
            if content.get("gone"):
                self._views.pop(view, None)
            else:
                self._views[view] = time.monotonic() + LEASE, bool(content.get("seen"))
            self._changed.notify_all()

    def wait_seen(self) -> bool:
        """Wait until somebody can see a view; False once the widget is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._left(seen=True) > 0)
            return not self._closed

    @property
    def seen(self) -> bool:
        """Whether somebody can see a view now."""
        with self._changed:
            return not self._closed and self._left(seen=True) > 0

    def wait_gone(self) -> None:
        """Wait until there is no view, or the widget is closed."""
        with self._changed:
            while not self._closed and (left := self._left(seen=False)) > 0:
                self._changed.wait(left)

    def pause(self, seconds: float) -> bool:
        """Wait so long; False, and at once, when the widget is closed."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._closed, seconds)

    def _left(self, *, seen: bool) -> float:
        """Return the seconds that the last view still counts, of those in sight or of all."""
        now = time.monotonic()
        lasting = [until - now for until, sight in self._views.values() if sight or not seen]
        return max(lasting, default=0.0)

    def close(self) -> None:
        """Have everybody who waits go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
