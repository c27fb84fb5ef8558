"""What layers show together at a path, as an overlay of them would."""

import os
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ipycontainer_runtime.layers.untar import is_whiteout
from ipycontainer_runtime.layers.upper import is_opaque


class Shown(NamedTuple):
    """What is shown under a name; all empty for nothing."""

    status: os.stat_result | None = None
    path: bytes = b""
    """Where it is in the uppermost layer that has it."""
    folders: Sequence[bytes] = ()
    """If it is a folder, those that are merged in it, uppermost first."""


def look_up(folders: Iterable[bytes], leaf: bytes, prefix: bytes) -> Shown:
    """Return what merged folders show under a name; `prefix` is that of overlay's xattrs."""
    status, found = None, b""
    merged: list[bytes] = []
    for folder in folders:
        path = folder + b"/" + leaf
        try:
            here = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(here):
            break
        if status is None:
            status, found = here, path
        if not stat.S_ISDIR(here.st_mode):
            break
        merged.append(path)
        if is_opaque(path, prefix):
            break
    return Shown(status, found, merged)


def names(folders: Iterable[bytes]) -> set[bytes]:
    """Return every name that is in any of the folders, hidden or not."""
    return {os.fsencode(name) for folder in folders for name in os.listdir(folder)}
