"""What a container changed, as `docker diff` lists it."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.untar import is_whiteout
from ipycontainer_runtime.layers.upper import Node, is_opaque, walk

MODIFIED, ADDED, DELETED = 0, 1, 2


class Change(NamedTuple):
    """One line of `docker diff`: an absolute path and 0 modified, 1 added or 2 deleted."""

    path: str
    kind: int


@dataclass
class _Level:
    """A folder of the walk: what the layers below have at its path, and what was found in it."""

    below: list[bytes]
    """The folders that show through, uppermost first; empty for a new folder."""
    status: os.stat_result | None
    """Of the uppermost of them."""
    seen: set[bytes] = field(default_factory=set)
    opaque: bool = False
    changes: list[Change] = field(default_factory=list)


def changes(upper: Path, lowers: Sequence[Path], ownership: Ownership) -> Iterator[Change]:
    """Yield what changed in `upper` against `lowers` (uppermost first), sorted by path.

    A folder is modified when anything in it is, as Docker's engine has it.
    """
    prefix = ownership.overlay_prefix
    levels: list[_Level] = []
    for node, left in walk(upper):
        if left:
            level = levels.pop()
            if level.opaque:
                level.changes += _hidden(node.path, level, prefix)
            own = _folder_change(node, level)
            if levels:
                levels[-1].changes += own + level.changes
            else:
                yield from sorted(level.changes)
        elif not node.path:
            levels.append(_Level([os.fsencode(lower) for lower in lowers], node.status))
        else:
            parent = levels[-1]
            parent.seen.add(node.leaf)
            if node.is_folder:
                levels.append(_enter(node, parent, prefix))
            else:
                status = _look_up(parent.below, node.leaf, prefix)[0]
                parent.changes += _file_change(node, status)


def _enter(node: Node, parent: _Level, prefix: bytes) -> _Level:
    status, folders = _look_up(parent.below, node.leaf, prefix)
    opaque = bool(folders) and (parent.opaque or is_opaque(node.folder, prefix))
    return _Level(folders, status, opaque=opaque)


def _look_up(
    folders: list[bytes], leaf: bytes, prefix: bytes
) -> tuple[os.stat_result | None, list[bytes]]:
    """Return what an overlay of `folders` shows under a name, and the folders merged there."""
    first: os.stat_result | None = None
    merged: list[bytes] = []
    for folder in folders:
        path = folder + b"/" + leaf
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status):
            break
        first = first or status
        if not stat.S_ISDIR(status.st_mode):
            break
        merged.append(path)
        if is_opaque(path, prefix):
            break
    return first, merged


def _folder_change(node: Node, level: _Level) -> list[Change]:
    if level.status is None:
        return [_change(node.path, ADDED)]
    old, new = level.status, node.status
    same = (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)
    return [] if same and not level.changes else [_change(node.path, MODIFIED)]


def _file_change(node: Node, old: os.stat_result | None) -> list[Change]:
    new = node.status
    if node.is_whiteout:
        return [_change(node.path, DELETED)] if old is not None else []
    if old is None:
        return [_change(node.path, ADDED)]
    # A file opened for writing is copied up even if nothing is written.
    return [_change(node.path, MODIFIED)] if _identity(old) != _identity(new) else []


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_rdev,
        status.st_size,
        status.st_mtime_ns,
    )


def _hidden(path: bytes, level: _Level, prefix: bytes) -> list[Change]:
    """Return what an opaque folder took away: the names below that it has not itself."""
    names = {os.fsencode(name) for folder in level.below for name in os.listdir(folder)}
    return [
        _change(path + b"/" + name, DELETED)
        for name in names - level.seen
        if _look_up(level.below, name, prefix)[0] is not None
    ]


def _change(path: bytes, kind: int) -> Change:
    return Change("/" + os.fsdecode(path), kind)
