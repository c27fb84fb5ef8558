"""Writes a container's log. One writer per container, in its shim, which reads each output once.

`open_writer` gives the writer of a driver's name. A full disk never stops a container: what cannot
be logged is lost, and `lost` counts its bytes. Reading is `log`'s business.
"""

import contextlib
import os
import time

from . import jsonlog, logformat
from .clock import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Writer:
    """Driver `none`, and what the others share.

    `write` takes what was read at once (never empty); `held` returns what waits for its line's end.
    """

    driver = "none"
    path = ""
    lost = 0

    def write(self, stream: int, data: bytes) -> None:
        """Log data of stream 1 (stdout) or 2 (stderr)."""

    def held(self, stream: int) -> bytes:
        """Return what was written and is not in the file yet."""
        return b""

    def close(self) -> None:
        """Write what was held and close the file."""


class LogFile(Writer):
    """A file that grows by whole records and is rotated when it would pass `largest` bytes.

    With `packs` the rotated ones are compressed.
    """

    def __init__(self, path: str, largest: int = 0, files: int = 1, packs: bool = False) -> None:
        self.path = path
        self._largest = largest
        self._files = files
        self._packs = packs
        self._packing = -1
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    def cut(self, end: "Callable[[BinaryIO], int]") -> None:
        """Cut off what a crash left unfinished, since what follows could not be read."""
        with open(self.path, "rb") as file:
            self._size = end(file)
        os.ftruncate(self._fd, self._size)

    def append(self, parts: "Sequence[bytes]") -> None:
        """Write one record in one call; all of it, or nothing."""
        length = sum(map(len, parts))
        if self._largest and self._size and self._size + length > self._largest:
            self._rotate()
        try:
            written = os.writev(self._fd, parts)
        except OSError:
            written = 0
        if written == length:
            self._size += length
            return
        # A disk that is full took a part, which a reader could not tell from a record.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._size)
        self.lost += length

    def _rotate(self) -> None:
        os.close(self._fd)
        self._await_packing()
        # No more steps than there are files, whatever max-file says.
        number = 1
        while number < self._files - 1 and self._is_there(number):
            number += 1
        for n in range(min(number, self._files - 1), 0, -1):
            self._move_to(n)
        if self._files == 1:
            os.unlink(self.path)
        self._open()
        if self._packs:
            from . import logpacking  # few shims need it

            self._packing = logpacking.pack(f"{self.path}.1")

    def _is_there(self, number: int) -> bool:
        return any(os.path.exists(f"{self.path}.{number}{ending}") for ending in ("", ".gz"))

    def _move_to(self, number: int) -> None:
        """Make the file that is one younger, compressed or not, the one of this number."""
        younger = f"{self.path}.{number - 1}" if number > 1 else self.path
        for ending in ("", ".gz"):
            target = f"{self.path}.{number}{ending}"
            if os.path.exists(f"{younger}{ending}"):
                os.rename(f"{younger}{ending}", target)
            elif os.path.exists(target):
                os.unlink(target)

    def _await_packing(self) -> None:
        if self._packing >= 0:
            os.read(self._packing, 1)
            os.close(self._packing)
            self._packing = -1

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        self._await_packing()


class LocalWriter(LogFile):
    """Driver `local`: one frame per write, see `logformat`."""

    driver = "local"

    def __init__(self, path: str, largest: int = 0, files: int = 1, packs: bool = False) -> None:
        super().__init__(path, largest, files, packs)
        self._goes_on = [False, False, False]
        if self._size:
            self.cut(logformat.end_of_frames)

    def write(self, stream: int, data: bytes) -> None:
        """Append one frame, or several where it would be larger than a file may be."""
        most = max(1, self._largest - logformat.OVERHEAD)
        while self._largest and len(data) > most:
            self._write_frame(stream, data[:most])
            data = data[most:]
        self._write_frame(stream, data)

    def _write_frame(self, stream: int, data: bytes) -> None:
        head = logformat.header(time.time_ns(), stream, self._goes_on[stream], len(data))
        self._goes_on[stream] = data[-1] != 0x0A
        self.append((head, data, logformat.TRAILER.pack(len(data))))


class JsonWriter(LogFile):
    """Driver `json-file`: a line is written once it is whole, as Docker does."""

    driver = "json-file"

    def __init__(self, path: str, largest: int = 0, files: int = 1, packs: bool = False) -> None:
        super().__init__(path, largest, files, packs)
        self._held = [b"", b"", b""]
        if self._size:
            self.cut(jsonlog.end_of_lines)

    def write(self, stream: int, data: bytes) -> None:
        """Append the lines that are whole and hold the beginning of the next."""
        data = self._held[stream] + data
        end = jsonlog.whole(data)
        self._held[stream] = data[end:]
        if end:
            self._encode(stream, data[:end])

    def _encode(self, stream: int, data: bytes) -> None:
        for lines in jsonlog.encode(stream, data, rfc3339(time.time_ns())):
            self._append_lines(lines)

    def _append_lines(self, lines: bytes) -> None:
        """Append JSON lines, no more of them to one file than fit."""
        while self._largest and len(lines) > (room := self._largest - self._size):
            end = lines.rfind(b"\n", 0, max(0, room)) + 1 or lines.index(b"\n") + 1
            self.append((lines[:end],))
            lines = lines[end:]
        if lines:
            self.append((lines,))

    def held(self, stream: int) -> bytes:
        """Return the line that has not ended."""
        return self._held[stream]

    def close(self) -> None:
        """Write the lines that never ended, then close the file."""
        for stream in (1, 2):
            if self._held[stream]:
                self._encode(stream, self._held[stream])
                self._held[stream] = b""
        super().close()


DRIVERS = {"local": LocalWriter, "json-file": JsonWriter}


def open_writer(driver: str, path: str, options: dict[str, str]) -> Writer:
    """Return the writer of a driver; `options` are Docker's max-size, max-file and compress.

    Raises OSError when the file cannot be made, ValueError for an unknown driver or size.
    """
    if driver == "none":
        return Writer()
    if driver not in DRIVERS:
        raise ValueError(f"unknown log driver {driver!r}: use json-file, local or none")
    largest = parse_size(options.get("max-size", "0"))
    packs = options.get("compress") == "true"
    return DRIVERS[driver](path, largest, int(options.get("max-file", "1")), packs)


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 10m, 1.5k or 1GiB; raises ValueError."""
    number = text.lower().removesuffix("b").removesuffix("i")
    unit = _UNITS.get(number[-1:], 1)
    number = (number if unit == 1 else number[:-1]).rstrip()
    digits = number.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise ValueError(f"{text!r} is no size: write 500k, 20m or 1g")
    return int(float(number) * unit)
