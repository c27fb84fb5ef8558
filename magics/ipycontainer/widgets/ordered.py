"""A page's messages in the order in which they were sent.

JupyterLab sends them over subshells where the kernel has some, and by the main shell until it
knows: two threads take them, and keys that were typed one after the other came out of order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_PAGES = 16  # more front ends than look at one notebook at a time


class Ordered:
    """Hands messages on to `receive`, one at a time; each has its page and is numbered from 0."""

    def __init__(self, receive: Callable[[dict[str, Any]], None]) -> None:
        self._receive = receive
        self._lock = threading.RLock()
        self._next: dict[str, int] = {}
        self._early: dict[tuple[str, int], dict[str, Any]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Take a message; whichever thread brings the one that was waited for hands on the rest."""
        page, number = str(message["page"]), int(message["number"])
        with self._lock:
            self._early[page, number] = message
            due = self._next.pop(page, 0)
            while (found := self._early.pop((page, due), None)) is not None:
                due += 1
                self._receive(found)
            self._next[page] = due
            if len(self._next) > _PAGES:
                self._forget(next(iter(self._next)))

    def _forget(self, page: str) -> None:
        del self._next[page]
        for key in [key for key in self._early if key[0] == page]:
            del self._early[key]
