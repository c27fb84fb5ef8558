"""Watch one file for new content, without polling: `logs -f` waits on this."""

import asyncio
import errno
import os
import struct
from collections.abc import AsyncIterator
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
_HEADER = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name


class Watch:
    """An asynchronous iterator of changes to one file.

    ::

        with Watch(path) as watch:
            read what is there
            async for change in watch:    # MODIFIED, CLOSED by a writer, or GONE: the last one
                read what is new

    The watch stands before the first read, so nothing is missed in between. Changes that come
    while the caller is busy are told once. Raises FileNotFoundError when there is no such file,
    Unavailable when the machine has no watches left. Source: inotify(7).
    """

    def __init__(self, path: Path) -> None:
        mask = calls.IN_MODIFY | calls.IN_CLOSE_WRITE | calls.IN_DELETE_SELF | calls.IN_MOVE_SELF
        try:
            self._fd = calls.inotify_init(calls.IN_NONBLOCK | calls.IN_CLOEXEC)
        except OSError as error:
            raise _refused(path, error) from error
        try:
            calls.inotify_add_watch(self._fd, str(path), mask)
        except OSError as error:
            os.close(self._fd)
            if error.errno == errno.ENOENT:
                raise
            raise _refused(path, error) from error

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
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            await _readable(self._fd)
            for change in self._changes():
                yield change
                if change == GONE:
                    return

    def _changes(self) -> list[str]:
        """Return the kinds of all changes that are waiting, each once, GONE last."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return []
        seen, offset = 0, 0
        while offset < len(data):
            _, mask, _, length = _HEADER.unpack_from(data, offset)
            seen |= mask
            offset += _HEADER.size + length
        return [kind for kind, bits in _KINDS if seen & bits]


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def _refused(path: Path, error: OSError) -> Unavailable:
    cure = "stop some `logs -f`, or as root run `sysctl fs.inotify.max_user_instances=1024`"
    return Unavailable(f"cannot watch {path}: {error.strerror}; {cure}")
