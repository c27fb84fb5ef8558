"""Chunks from one thread to another, and how two threads work on one stream and end together."""

import threading
from collections import deque
from collections.abc import Callable, Iterator

# Bytes one thread may be ahead of the other: enough to ride out a burst of small files.
_AHEAD = 16 << 20


class Stopped(Exception):  # noqa: N818 - no error of its own: another thread has one to tell
    """Nobody takes the chunks any more."""


class Feed:
    """A bounded queue of chunks with an end, and with a way for the taker to stop the giver."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = self._stopped = False
        self._changed = threading.Condition()

    def put(self, chunk: bytes) -> None:
        """Hand a chunk over, waiting for room; Stopped when nobody takes any more."""
        with self._changed:
            while self._size > _AHEAD and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise Stopped
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._changed.notify_all()

    def offer(self, chunk: bytes) -> bool:
        """Hand a chunk over if there is room now; Stopped when nobody takes any more."""
        with self._changed:
            if self._stopped:
                raise Stopped
            if self._size > _AHEAD:
                return False
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """Say that no chunk follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Say that no chunk is taken any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                while not self._chunks and not self._ended:
                    self._changed.wait()
                if not self._chunks:
                    return
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                self._changed.notify_all()
            yield chunk


class Work:
    """A function on a thread of its own; what it raises is raised again by `result`."""

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def result(self) -> None:
        """Wait for its end and raise what it raised, unless it was merely stopped."""
        self._thread.join()
        if self._error is not None and not isinstance(self._error, Stopped):
            raise self._error
