"""Reads a container's log, whichever driver wrote it. Used by the engine, and by a shim's replay.

The engine reads with `read`, or keeps a `Reader` and asks it again when the file has grown. Rotated
files (path.1 is younger than path.2) are read as one log.
"""

import os
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from .logrecords import FORMATS, STDERR, STDOUT, Entry, NoLog

__all__ = ["STDERR", "STDOUT", "Entry", "NoLog", "Reader", "read"]


class Reader:
    """Reads the entries of a log, from what `tail` leaves on, and can go on where it stopped.

    `since` and `until` are nanoseconds since 1970; `tail` is a number of entries, counted before
    any other choice, as Docker counts. A torn last record is left until it is whole. Without
    `lines` an entry is whatever was written at once, many lines or a part of one: that is some
    twenty times faster, for who wants the text alone. Raises NoLog for driver `none`.
    """

    def __init__(
        self,
        path: Path,
        driver: str,
        *,
        since: int = 0,
        until: int | None = None,
        tail: int | None = None,
        stdout: bool = True,
        stderr: bool = True,
        lines: bool = True,
    ) -> None:
        if driver not in FORMATS:
            raise NoLog(f"a log of driver {driver!r} cannot be read: use json-file or local")
        self._format = FORMATS[driver]()
        self._path = path
        self._since = since
        self._until = until
        self._tail = tail
        self._streams = {STDOUT} if stdout else set()
        self._streams |= {STDERR} if stderr else set()
        self._lines = lines
        self._file: BinaryIO | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield what is whole by now; a later call goes on from there."""
        found = self._all()
        if self._tail is not None:
            found = iter(self._last(found, self._tail))
            self._tail = None
        return filter(self._chosen, found)

    def rest(self) -> Iterator[Entry]:
        """Yield lines that have not ended, one per stream: for a log that will not grow."""
        return filter(self._chosen, self._format.rest())

    def everything(self) -> Iterator[Entry]:
        """Yield all entries as of now, a last unfinished line included."""
        found: Iterator[Entry] = chain(self._all(), self._format.rest())
        if self._tail is not None:
            found = iter(self._last(found, self._tail))
        return filter(self._chosen, found)

    def _chosen(self, entry: Entry) -> bool:
        if entry.stream not in self._streams or entry.time_ns < self._since:
            return False
        return self._until is None or entry.time_ns <= self._until

    def _last(self, entries: Iterator[Entry], wanted: int) -> deque[Entry]:
        # Only lines can be counted.
        lines, self._lines = self._lines, True
        last = deque(entries, wanted)
        self._lines = lines
        return last

    def _all(self) -> Iterator[Entry]:
        if self._file is None and not self._open_first():
            return
        while self._file is not None:
            for record in self._format.records(self._file):
                if self._lines:
                    yield from self._format.lines(record)
                else:
                    yield record
            if not self._open_next():
                return

    def _open_first(self) -> bool:
        """Open the oldest file, or where a tail is wanted, the one in which that begins."""
        files = self._files()
        if not files:
            return False
        if self._tail is None:
            self._file = open(files[-1], "rb")  # noqa: SIM115 - kept from call to call
            return True
        wanted = self._tail
        for file in files:
            self._file = open(file, "rb")  # noqa: SIM115 - kept from call to call
            position, found = self._format.tail(self._file, wanted)
            self._file.seek(position)
            if found >= wanted:
                break
            wanted -= found
        return True

    def _open_next(self) -> bool:
        """Go on to the next younger file, if ours was rotated away."""
        if self._file is None:
            return False
        inode = os.fstat(self._file.fileno()).st_ino
        younger: Path | None = None
        for file in self._files():
            if file.stat().st_ino == inode:
                break
            younger = file
        if younger is None:
            return False
        self._file.close()
        self._file = open(younger, "rb")  # noqa: SIM115 - kept from call to call
        return True

    def _files(self) -> list[Path]:
        """Return the log's files, the youngest first."""
        if not self._path.exists():
            return []
        files, number = [self._path], 1
        while (older := self._path.with_name(f"{self._path.name}.{number}")).exists():
            files.append(older)
            number += 1
        return files

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read(
    path: Path,
    driver: str,
    *,
    since: int = 0,
    until: int | None = None,
    tail: int | None = None,
    stdout: bool = True,
    stderr: bool = True,
    lines: bool = True,
) -> Iterator[Entry]:
    """Yield all entries of a log as it is now, a last unfinished line included; see `Reader`."""
    reader = Reader(
        path,
        driver,
        since=since,
        until=until,
        tail=tail,
        stdout=stdout,
        stderr=stderr,
        lines=lines,
    )
    try:
        yield from reader.everything()
    finally:
        reader.close()
