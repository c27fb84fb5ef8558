"""Files that a person names: read within bounds, and never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from ipycontainer.failures import Failure

MOST_OF_DOCKERFILE: Final = 64 << 20
"""Bytes of a Dockerfile that is read."""
MOST_OF_NOTEBOOK: Final = 512 << 20
"""Bytes of a notebook that is read: its outputs are in it."""
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def contents(path: Path, what: str, most: int) -> bytes:
    """Return what is in the file; `Failure` for what is none, and for more than `most` bytes.

    `what` is what it should be, as "a notebook".
    """
    try:
        # A pipe or a device would be waited for when it is opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            check(path, what, os.fstat(descriptor).st_mode)
        except Failure:
            os.close(descriptor)
            raise
        with open(descriptor, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    return bounded(data, str(path), what, most)


def bounded(data: bytes, name: str, what: str, most: int) -> bytes:
    """Return what was read; `Failure` where it is more than `most` bytes."""
    if len(data) > most:
        raise Failure(f"{name}: {what} has at most {most:,} bytes, and this has more")
    return data


def check(path: Path, what: str, mode: int) -> None:
    """Raise `Failure` for the mode of what is no file."""
    if not stat.S_ISREG(mode):
        found = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise Failure(f"{path} is {found}, and {what} is a file")
