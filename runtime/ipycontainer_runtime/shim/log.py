"""Reads a container's log, whichever driver wrote it. Used by the engine, and by a shim's replay.

The engine reads with `read`, or keeps a `Reader` and asks it again when the file has grown.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

STDOUT, STDERR = 1, 2


class Entry(NamedTuple):
    """One line with its newline, or a last one without; `stream` is 1 (stdout) or 2 (stderr)."""

    time_ns: int
    stream: int
    data: bytes


class Reader:
    """Reads the entries of a log, from what `tail` leaves on; can go on where it stopped.

    `since` and `until` are nanoseconds since 1970, `tail` a number of entries counted before any
    other choice, as Docker counts. A torn last record is left until it is whole.
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
        raise NotImplementedError

    def entries(self) -> Iterator[Entry]:
        """Yield the lines that are whole by now; a later call goes on from there."""
        raise NotImplementedError

    def rest(self) -> Iterator[Entry]:
        """Yield lines that have not ended, one per stream: for a log that will not grow."""
        raise NotImplementedError


def read(
    path: Path,
    driver: str,
    *,
    since: int = 0,
    until: int | None = None,
    tail: int | None = None,
    stdout: bool = True,
    stderr: bool = True,
) -> Iterator[Entry]:
    """Yield all entries of a log as it is now, a last unfinished line included; see `Reader`."""
    raise NotImplementedError
