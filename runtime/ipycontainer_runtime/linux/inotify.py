"""Watch files for new content, without polling: `logs -f` waits on this."""

import asyncio
import contextlib
import functools
import os
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType

from ..errors import Unavailable
from . import calls

MODIFIED, CLOSED, GONE = "modified", "closed", "gone"

_KINDS = (
    (MODIFIED, calls.IN_MODIFY | calls.IN_Q_OVERFLOW),
    (CLOSED, calls.IN_CLOSE_WRITE),
    (GONE, calls.IN_DELETE_SELF | calls.IN_MOVE_SELF | calls.IN_IGNORED),
)
_WANTED = calls.IN_MODIFY | calls.IN_CLOSE_WRITE | calls.IN_DELETE_SELF | calls.IN_MOVE_SELF
_HEADER = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name


class Watches:
    """The watches of one event loop, all on one inotify instance.

    One for all, because closing an instance waits for the kernel's readers of the list of watches,
    5 to 20 ms, and there may be no more than 128 of them; giving up one watch waits for nobody.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[int, set[Watch]] = {}  # the kernel has one number for each file

    def watch(self, path: Path) -> "Watch":
        """Return a watch of the file; called on the event loop.

        Raises FileNotFoundError when there is no such file, Unavailable when the machine has no
        watches left.
        """
        try:
            number = calls.inotify_add_watch(self._instance(), str(path), _WANTED)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(path, error) from error
        watch = Watch(functools.partial(self._forget, number))
        self._open.setdefault(number, set()).add(watch)
        return watch

    def _instance(self) -> int:
        if self._fd < 0:
            self._fd = calls.inotify_init(calls.IN_NONBLOCK | calls.IN_CLOEXEC)
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._fd, self._read)
        return self._fd

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size + length
            told = self._open.get(number, set())
            if mask & calls.IN_Q_OVERFLOW:
                told = set().union(*self._open.values())
            if mask & calls.IN_IGNORED:  # the kernel has given the watch up itself
                self._open.pop(number, None)
            for watch in told:
                watch.tell(mask)

    def _forget(self, number: int, watch: "Watch") -> None:
        watches = self._open.get(number)
        if watches is None:
            return
        watches.discard(watch)
        if not watches:
            del self._open[number]
            with contextlib.suppress(OSError):  # the file is gone, and its watch with it
                calls.inotify_rm_watch(self._fd, number)

    def close(self) -> None:
        """Give up the instance and every watch; harmless when done twice."""
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd, self._loop = -1, None
            self._open.clear()


class Watch:
    """An asynchronous iterator of changes to one file.

    ::

        with watches.watch(path) as watch:
            read what is there
            async for change in watch:    # MODIFIED, CLOSED by a writer, or GONE: the last one
                read what is new

    The watch stands before the first read, so nothing is missed in between. Changes that come
    while the caller is busy are told once. Source: inotify(7).
    """

    def __init__(self, forget: "Callable[[Watch], None]") -> None:
        self._forget = forget
        self._seen = 0
        self._changed = asyncio.Event()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the watch up; harmless when done twice."""
        self._forget(self)

    def tell(self, mask: int) -> None:
        """Take note of an event; called by `Watches`."""
        self._seen |= mask
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            seen, self._seen = self._seen, 0
            for change in (kind for kind, bits in _KINDS if seen & bits):
                yield change
                if change == GONE:
                    return


def _refused(path: Path, error: OSError) -> Unavailable:
    cure = "stop some `logs -f`, or as root run `sysctl fs.inotify.max_user_watches=65536`"
    return Unavailable(f"cannot watch {path}: {error.strerror}; {cure}")
