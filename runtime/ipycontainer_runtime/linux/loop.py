"""The event loop of shims and the helper: epoll and a table of handlers.

By hand, because asyncio would double the memory of every container.
"""

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR  # always reported, asked for or not


class Loop:
    """Calls a descriptor's handler with the events that came. Handlers never block."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._alarms: dict[Callable[[], None], float] = {}

    def watch(self, fd: int, events: int, handler: "Callable[[int], None]") -> None:
        """Begin to watch a descriptor, or change what is watched for."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Watch no longer; harmless for a descriptor that is not watched."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_after(self, seconds: float, handler: "Callable[[], None]") -> None:
        """Call a handler once, this much later; again for the same one puts it off."""
        self._alarms[handler] = time.monotonic() + seconds

    def call_off(self, handler: "Callable[[], None]") -> None:
        """Call it no more; harmless for one that is not to be called."""
        self._alarms.pop(handler, None)

    def turn(self) -> None:
        """Wait for events and handle them, then what is due."""
        for fd, events in self._epoll.poll(self._next() if self._alarms else None):
            # An earlier handler of this round may have closed it.
            if handler := self._handlers.get(fd):
                handler(events)
        if self._alarms:
            self._ring()

    def _next(self) -> float:
        return max(0.0, min(self._alarms.values()) - time.monotonic())

    def _ring(self) -> None:
        now = time.monotonic()
        for handler, due in tuple(self._alarms.items()):
            if due <= now and self._alarms.pop(handler, None) is not None:
                handler()

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._epoll.close()
