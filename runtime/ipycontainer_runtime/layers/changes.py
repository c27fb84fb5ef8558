"""What a container changed, as `docker diff` lists it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.layers.merged import look_up, names
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.upper import Node

MODIFIED, ADDED, DELETED = 0, 1, 2


class Change(NamedTuple):
    """One line of `docker diff`: an absolute path and 0 modified, 1 added or 2 deleted."""

    path: str
    kind: int


@dataclass
class _Level:
    """A folder of the walk: what the layers below have at its path, and what was found in it."""

    below: Sequence[bytes]
    """The folders that show through, uppermost first; empty for a new folder."""
    status: os.stat_result | None
    """Of the uppermost of them."""
    seen: set[bytes] = field(default_factory=set)
    opaque: bool = False
    changes: list[Change] = field(default_factory=list)


def changes(
    nodes: Iterable[tuple[Node, bool]], lowers: Sequence[Path], ownership: Ownership
) -> Iterator[Change]:
    """Yield what a snapshotter's walk found changed against `lowers` (uppermost first), by path.

    A folder is modified when anything in it is, as Docker's engine has it.
    """
    prefix = ownership.overlay_prefix
    levels: list[_Level] = []
    for node, left in nodes:
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
            # A copy's mark for a folder that is gone has that folder's status.
            if node.is_folder and not node.is_whiteout:
                levels.append(_enter(node, parent, prefix))
            else:
                parent.changes += _file_change(
                    node, look_up(parent.below, node.leaf, prefix).status
                )


def _enter(node: Node, parent: _Level, prefix: bytes) -> _Level:
    shown = look_up(parent.below, node.leaf, prefix)
    opaque = bool(shown.folders) and (parent.opaque or node.is_opaque)
    return _Level(shown.folders, shown.status, opaque=opaque)


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
    return [_change(node.path, MODIFIED)] if identity(old) != identity(new) else []


def identity(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file that was changed from the layer's, which it may be a copy of."""
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
    return [
        _change(path + b"/" + name, DELETED)
        for name in names(level.below) - level.seen
        if look_up(level.below, name, prefix).status is not None
    ]


def _change(path: bytes, kind: int) -> Change:
    return Change("/" + os.fsdecode(path), kind)
