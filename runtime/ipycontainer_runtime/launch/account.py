"""What a launch did and when, told to the shim by a launcher that was asked to explain itself."""

import json
import os
import stat
import time
from collections.abc import Sequence

LONGEST_STEP = 300  # characters of a step's name; an overlay's has a path for each layer
LONGEST_FILE = 1 << 18  # bytes of one file that are told
PIECE = 20_000  # characters of one packet; twice as many when all are quoted, and it takes 64 KB


class Silent:
    """The account of a launch that nobody wants explained."""

    def step(self, name: str) -> None:
        """Take no note of it."""

    def look(self, status: int) -> None:
        """Look at nothing."""

    def tell(self, status: int) -> None:
        """Send nothing."""


class Account(Silent):
    """Every step with the time at which it began, and what /proc says just before the command.

    `wanted` are the files and links to look at, in the container. What is sent through the status
    socket are packets `{"told": piece}`; joined they are lines, each a JSON object.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self._steps: list[tuple[str, int]] = []

    def step(self, name: str) -> None:
        """Note that a step begins, by the clock that all processes of the machine share."""
        self._steps.append((name[:LONGEST_STEP], time.monotonic_ns()))

    def look(self, status: int) -> None:
        """Look around and send `{"seen": {path: content}}`."""
        _send(status, {"seen": {path: _content(path) for path in self._wanted}})

    def tell(self, status: int) -> None:
        """Send `{"steps": [[name, nanoseconds]]}`, which replaces what was told before."""
        _send(status, {"steps": self._steps})


def _send(status: int, told: dict[str, object]) -> None:
    text = json.dumps(told) + "\n"
    for start in range(0, len(text), PIECE):
        os.write(status, json.dumps({"told": text[start : start + PIECE]}).encode())


def _content(path: str) -> str | None:
    """Return a file's text or a link's target, None for what cannot be read.

    Whoever mounts something over /proc may have put anything there: it is never waited for.
    """
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            return os.readlink(path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return _whole(fd).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(fd)


def _whole(fd: int) -> bytes:
    found = b""
    while len(found) < LONGEST_FILE and (part := os.read(fd, 1 << 16)):
        found += part
    return found
