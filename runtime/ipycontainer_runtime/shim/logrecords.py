"""How the file of each log driver is read: its records, its last lines, its lines."""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

from ..errors import InvalidParameter
from . import jsonlog, logformat
from .clock import nanoseconds

STDOUT, STDERR = 1, 2
_BLOCK = 1 << 16


class NoLog(InvalidParameter):
    """This driver keeps nothing that could be read."""


class Entry(NamedTuple):
    """One line with its newline, or a last one without; `stream` is 1 (stdout) or 2 (stderr)."""

    time_ns: int
    stream: int
    data: bytes


class Format(Protocol):
    """One driver's way. `tail`, if at all, is called before anything else."""

    def records(self, file: BinaryIO) -> Iterator[Entry]:
        """Yield what is whole from the file's position on, and leave the position behind it."""

    def lines(self, record: Entry) -> Iterator[Entry]:
        """Yield the lines that this record completes."""

    def rest(self) -> Iterator[Entry]:
        """Yield the lines that have begun and not ended."""

    def tail(self, file: BinaryIO, wanted: int) -> tuple[int, int]:
        """Return where to begin for the last `wanted` lines, and how many lines follow.

        There may be more than wanted. Fewer means that the whole file is not enough.
        """


class JsonFormat:
    """Driver `json-file`: each record is a line already."""

    def __init__(self) -> None:
        self._second = ("", 0)

    def records(self, file: BinaryIO) -> Iterator[Entry]:
        """Yield the JSON lines; one that a crash tore is passed over once another follows."""
        for line in iter(file.readline, b""):
            if not line.endswith(b"\n"):
                file.seek(-len(line), os.SEEK_CUR)
                return
            try:
                time, stream, data = jsonlog.decode(line)
            except ValueError:
                continue
            yield Entry(self._nanoseconds(time), stream, data)

    def _nanoseconds(self, time: str) -> int:
        # Lines that were written together differ in the fraction at most.
        second, base = self._second
        if not time.startswith(second) or not second:
            second, base = time[:19], nanoseconds(time[:19])
            self._second = (second, base)
        return base + int(time[20:-1].ljust(9, "0"))

    def lines(self, record: Entry) -> Iterator[Entry]:
        """Yield the record."""
        yield record

    def rest(self) -> Iterator[Entry]:
        """Yield nothing: the writer holds back what has not ended."""
        return iter(())

    def tail(self, file: BinaryIO, wanted: int) -> tuple[int, int]:
        """Count newlines from the end, block by block."""
        position, found = file.seek(0, os.SEEK_END), 0
        while position:
            start = max(0, position - _BLOCK)
            file.seek(start)
            block = file.read(position - start)
            count = block.count(b"\n")
            if found + count > wanted:
                return start + _skip_lines(block, found + count - wanted), wanted
            position, found = start, found + count
        return 0, found


def _skip_lines(block: bytes, number: int) -> int:
    position = 0
    for _ in range(number):
        position = block.index(b"\n", position) + 1
    return position


class LocalFormat:
    """Driver `local`: frames of many lines, or of a part of one."""

    def __init__(self) -> None:
        self._begun: dict[int, Entry] = {}
        self._headless: set[int] = set()

    def records(self, file: BinaryIO) -> Iterator[Entry]:
        """Yield the frames."""
        while frame := _read_frame(file):
            yield frame

    def lines(self, record: Entry) -> Iterator[Entry]:
        """Split the frame; a line that goes on in the next has the time of its beginning."""
        time_ns, stream, data = record
        if stream in self._headless:
            end = data.find(b"\n") + 1
            if not end:
                return
            self._headless.discard(stream)
            data = data[end:]
        first = time_ns
        if begun := self._begun.pop(stream, None):
            first, data = begun.time_ns, begun.data + data
        *whole, last = data.split(b"\n")
        for line in whole:
            yield Entry(first, stream, line + b"\n")
            first = time_ns
        if last:
            self._begun[stream] = Entry(first, stream, last)

    def rest(self) -> Iterator[Entry]:
        """Yield what has no newline yet."""
        yield from self._begun.values()
        self._begun.clear()

    def tail(self, file: BinaryIO, wanted: int) -> tuple[int, int]:
        """Go back frame by frame until the last lines lie whole in what was passed."""
        position, found = logformat.end_of_frames(file), 0
        # By stream: how many lines end after the one whose beginning was not passed yet.
        after: dict[int, int] = {}
        seen: set[int] = set()
        while position and (found < wanted or any(n < wanted for n in after.values())):
            position, head, data = _frame_before(file, position)
            ends = data.count(b"\n")
            if head.stream not in seen and not data.endswith(b"\n"):
                ends += 1  # a last line that has not ended counts
            seen.add(head.stream)
            found += ends
            if not head.continues:
                after.pop(head.stream, None)
            elif ends:
                after[head.stream] = found - 1
        self._headless = set(after) if position else set()
        return position, found


def _frame_before(file: BinaryIO, end: int) -> tuple[int, logformat.Header, bytes]:
    file.seek(end - logformat.TRAILER.size)
    (length,) = logformat.TRAILER.unpack(file.read(logformat.TRAILER.size))
    start: int = end - length - logformat.OVERHEAD
    file.seek(start)
    return start, logformat.parse(file.read(logformat.HEADER.size)), file.read(length)


def _read_frame(file: BinaryIO) -> Entry | None:
    """Return the frame at the file's position; None, and the position as it was, if torn."""
    start = file.tell()
    if len(head := file.read(logformat.HEADER.size)) == logformat.HEADER.size:
        time_ns, stream, _, length = logformat.parse(head)
        data = file.read(length + logformat.TRAILER.size)
        if len(data) == length + logformat.TRAILER.size:
            return Entry(time_ns, stream, data[:length])
    file.seek(start)
    return None


FORMATS: dict[str, type[JsonFormat] | type[LocalFormat]] = {
    "json-file": JsonFormat,
    "local": LocalFormat,
}
