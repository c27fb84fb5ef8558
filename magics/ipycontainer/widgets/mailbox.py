"""Things that one thread hands to another, which waits on a descriptor."""

from __future__ import annotations

import os
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue without end whose `descriptor` is readable when there is something in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[T] = []
        self.descriptor, self._writer = os.pipe()
        self._closed = False

    def put(self, item: T) -> None:
        """Add something; after `close` it is forgotten."""
        with self._lock:
            if self._closed:
                return
            if not self._items:
                os.write(self._writer, b"\0")
            self._items.append(item)

    def take(self) -> list[T]:
        """Return what there is, in its order."""
        with self._lock:
            items, self._items = self._items, []
            if items:
                os.read(self.descriptor, 1)
            return items

    def close(self) -> None:
        """Let the descriptors go."""
        with self._lock:
            if self._closed:
                return  # the numbers may be others' now
            self._closed = True
            self._items.clear()
            for descriptor in (self.descriptor, self._writer):
                os.close(descriptor)


class Keys:
    """A person's keys, or lines, as a container's standard input.

    There may be any number: a container that reads nothing must not make the kernel wait.
    """

    detached = False

    def __init__(self) -> None:
        self._box: Mailbox[bytes] = Mailbox()
        self._ended = False

    @property
    def ready(self) -> bool:
        """Whether to read though nothing is pressed: the end comes after the last keys."""
        return self._ended

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Readable when there are keys."""
        return (self._box.descriptor,)

    def press(self, data: bytes) -> None:
        """Take keys; called by any thread."""
        if data and not self._ended:
            self._box.put(data)

    def end(self) -> None:
        """Have the container read the end of its input."""
        self._ended = True
        self._box.put(b"")

    def read(self) -> bytes | None:
        """Return the keys that were pressed; nothing at the end, None while there are none."""
        ended = self._ended
        return b"".join(self._box.take()) or (b"" if ended else None)

    def close(self) -> None:
        """Let the descriptors go."""
        self._box.close()
