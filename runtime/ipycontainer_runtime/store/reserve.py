"""Room on the disk for one more version of a file, so that freeing a full disk needs none."""

import os
from contextlib import suppress
from pathlib import Path

from ipycontainer_runtime.store import atomic

_STEP = 64 << 10
_NAME = "reserve"


class Reserve:
    """A file of blocks beside `path`; the store that owns `path` is the only caller.

    `keep` has them ready while there is space. `write` makes them the next version of `path`, and
    takes the blocks of the version that this replaces for the next time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks = path.with_name(_NAME)
        self._size = 0
        with suppress(FileNotFoundError):
            self._size = self._blocks.stat().st_size

    def keep(self, length: int) -> None:
        """Have room for a version of so many bytes, or, on a full disk, what there is."""
        if length <= self._size:
            return
        wanted = -(-length // _STEP) * _STEP
        with suppress(OSError):  # the next write tries again; what is full already had its room
            self._allocate(wanted)

    def _allocate(self, size: int) -> None:
        descriptor = os.open(self._blocks, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            self._size = os.fstat(descriptor).st_size
            os.close(descriptor)

    def write(self, content: bytes) -> None:
        """Replace the file durably, in blocks that are there already; OSError when they are not."""
        descriptor = os.open(self._blocks, os.O_WRONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            file.truncate()
            os.fsync(descriptor)
        self._blocks.rename(self._path)
        self._size = 0
        atomic.sync_folder(self._path.parent)
        self.keep(len(content))
