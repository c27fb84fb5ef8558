"""Reads a container's log, whichever driver wrote it. Used by the engine, and by a shim's replay.

The engine reads with `read`, or keeps a `Reader` and asks it again when the file has grown. Rotated
files (path.1 is younger than path.2; path.2.gz is compressed) are read as one log.
"""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from .logpacking import PACKED, Part
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
        self._part: Part | None = None

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
        part = self._part or self._open_first()
        while part is not None:
            self._part = part
            # Asked first: nothing is written any more to a file that was rotated.
            rotated = self._younger(part)
            for record in self._format.records(part.file):
                if self._lines:
                    yield from self._format.lines(record)
                else:
                    yield record
            if not rotated:
                return
            part = self._open_after(part)

    def _open_first(self) -> Part | None:
        """Open the oldest file, or where a tail is wanted, the one in which that begins."""
        wanted = self._tail
        files = self._files()
        part: Part | None = None
        for path in files if wanted is not None else reversed(files):
            try:
                opened = Part(path)
            except FileNotFoundError:  # it was the oldest, and was rotated away just now
                continue
            if part is not None:
                part.close()
            part = opened
            if wanted is None:
                return part
            position, found = self._format.tail(part.file, wanted)
            part.file.seek(position)
            if found >= wanted:
                return part
            wanted -= found
        return part

    def _open_after(self, part: Part) -> Part | None:
        """Open the next younger file in the place of this one."""
        while path := self._younger(part):
            younger = Part(path)
            # A rotation in between makes it the path of another one.
            if self._younger(part) == path:
                part.close()
                return younger
            younger.close()
        return None

    def _younger(self, part: Part) -> str:
        """Return the path of the next younger file; empty if this is the youngest."""
        younger = ""
        for path in self._files():
            try:
                if part.is_at(path):
                    break
            except FileNotFoundError:
                continue
            younger = path
        return younger

    def _files(self) -> list[str]:
        """Return the log's files, the youngest first; each once, though it is being compressed."""
        pattern = re.compile(rf"{re.escape(self._path.name)}(?:\.(\d+)(?:{re.escape(PACKED)})?)?")
        found: dict[int, str] = {}
        with suppress(FileNotFoundError):  # the container was removed: what is open is read on
            for path in sorted(self._path.parent.iterdir(), reverse=True):
                if match := pattern.fullmatch(path.name):
                    found[int(match[1] or 0)] = str(path)
        return [found[number] for number in sorted(found)]

    def close(self) -> None:
        """Close the file."""
        if self._part is not None:
            self._part.close()
            self._part = None


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
