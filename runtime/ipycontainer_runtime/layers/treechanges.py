"""What one tree of a container's changes has other than another."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.layers.changes import identity
from ipycontainer_runtime.layers.merged import look_up
from ipycontainer_runtime.store.checkpoints import FOLDER, OPAQUE, WHITEOUT, Entry, Tree

ADDED, CHANGED, DELETED = "added", "changed", "deleted"


class TreeChange(NamedTuple):
    """One path, what became of it, and the bytes of the file that is, or was, there."""

    path: bytes
    kind: str
    size: int


class Beneath:
    """Tells what layers, uppermost first, show at a path; remembers the folders on the way.

    `pool` is the folder of the objects that are compared with them.
    """

    def __init__(self, layers: Sequence[Path], prefix: bytes, pool: Path) -> None:
        self._prefix = prefix
        self._pool = pool
        self._merged: dict[bytes, Sequence[bytes]] = {b"": [os.fsencode(path) for path in layers]}

    def shows(self, path: bytes) -> bool:
        """Tell whether there is something at a path, relative to the root."""
        return self._status(path) is not None

    def has(self, path: bytes, entry: Entry) -> bool:
        """Tell whether an entry is the layers' own: one that is opened for writing is copied."""
        below = self._status(path)
        if below is None or entry.kind == WHITEOUT:
            return False
        here = os.lstat(self._pool / str(entry.number))
        return identity(below) == identity(here)

    def _status(self, path: bytes) -> os.stat_result | None:
        folder, _, leaf = path.rpartition(b"/")
        return look_up(self._folders(folder), leaf, self._prefix).status

    def _folders(self, path: bytes) -> Sequence[bytes]:
        known, rest = path, []
        while known not in self._merged:
            known, _, leaf = known.rpartition(b"/")
            rest.append(leaf)
        for leaf in reversed(rest):
            above, known = known, known + b"/" + leaf if known else leaf
            self._merged[known] = look_up(self._merged[above], leaf, self._prefix).folders
        return self._merged[path]


def compared(before: Tree, after: Tree, beneath: Beneath) -> Iterator[TreeChange]:
    """Yield what `after` has other than `before`; `beneath` is the image.

    A folder is told when it comes or goes, and not because of what is in it; of a folder that goes
    only it is told.
    """
    for path, entry in after.items():
        old = before.get(path)
        if old is entry or old == entry or _is_folder(old, entry):
            continue
        if entry.kind == WHITEOUT:
            if old is None or old.kind != WHITEOUT:
                yield TreeChange(path, DELETED, old.size if old else 0)
        elif old is None:
            yield from _new(path, entry, beneath)
        elif old.kind == WHITEOUT:
            yield TreeChange(path, ADDED, entry.size)
        elif old.number != entry.number:
            yield TreeChange(path, CHANGED, entry.size)
    for path, entry in before.items():
        if path not in after and _above(path) in after:
            yield from _gone(path, entry, beneath)


def _above(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _is_folder(old: Entry | None, new: Entry) -> bool:
    folders = (FOLDER, OPAQUE)
    return old is not None and old.kind in folders and new.kind in folders


def _new(path: bytes, entry: Entry, beneath: Beneath) -> Iterator[TreeChange]:
    if not path or not beneath.shows(path):
        if path:
            yield TreeChange(path, ADDED, entry.size)
    elif entry.kind not in (FOLDER, OPAQUE) and not beneath.has(path, entry):
        yield TreeChange(path, CHANGED, entry.size)


def _gone(path: bytes, entry: Entry, beneath: Beneath) -> Iterator[TreeChange]:
    """Tell what was in a tree and is not any more: the image's own may be seen again."""
    if entry.kind == WHITEOUT:
        yield TreeChange(path, ADDED, 0)
    elif beneath.shows(path):
        if entry.kind not in (FOLDER, OPAQUE):
            yield TreeChange(path, CHANGED, entry.size)
    else:
        yield TreeChange(path, DELETED, entry.size)
