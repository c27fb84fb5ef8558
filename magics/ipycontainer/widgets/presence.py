"""Which views of a widget there are, and which somebody can see.

What nobody sees is not asked for, and what has no view any more ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

LEASE = 30.0
"""Seconds that a view counts after its last word; it speaks every 8 (static/common.js)."""


class Presence:
    """The views of one widget: told of by their messages, waited for by what feeds it.

    A page that is closed says nothing more, so what a view says holds for a while only.
    """

    def __init__(self) -> None:
        self._feed: Callable[[], None] | None = None
        self._name = ""
        self._feeds = False
        self._views: dict[str, tuple[float, bool]] = {}  # until when, and whether in sight
        self._changed = threading.Condition()  # reentrant
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
            self._begin()

    def feed(self, feed: Callable[[], None], name: str) -> None:
        """Call `feed` in a thread whenever somebody comes to see a view; it returns when none is.

        A widget that is only kept, as by a cell that was run again, has no thread.
        """
        with self._changed:
            self._feed, self._name = feed, name
            self._begin()

    def _begin(self) -> None:
        if self._feed is None or self._feeds or not self.seen:
            return
        self._feeds = True
        threading.Thread(target=self._run, args=(self._feed,), daemon=True, name=self._name).start()

    def _run(self, feed: Callable[[], None]) -> None:
        while True:
            feed()
            with self._changed:
                if not self.seen:
                    self._feeds = False
                    return

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
