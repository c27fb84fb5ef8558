"""The event loop of a shim: epoll and a table of handlers.

By hand, because asyncio would double the memory of every container.
"""

import select

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

    def turn(self) -> None:
        """Wait for events and handle them."""
        for fd, events in self._epoll.poll():
            # An earlier handler of this round may have closed it.
            if handler := self._handlers.get(fd):
                handler(events)

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._epoll.close()
