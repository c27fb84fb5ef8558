"""What a container changed in a copy of its layers, as a walk of only that."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ipycontainer_runtime.layers.merged import Shown, look_up, names
from ipycontainer_runtime.layers.upper import Node, walk


@dataclass
class _Level:
    node: Node
    below: Sequence[bytes]
    """The layers' folders at this path, uppermost first."""
    told: bool = False
    seen: set[bytes] = field(default_factory=set)


def walk_changed(
    copy: Path, layers: Sequence[Path], prefix: bytes, since: int
) -> Iterator[tuple[Node, bool]]:
    """Yield what differs from `layers`, uppermost first, in the form of `upper.walk_upper`.

    That is what another file stands for now, or was touched after `since`, in nanoseconds: a
    change that leaves a file's size and time as they were still moves its time of change. What was
    taken away is a node that is a whiteout, at the end of its folder.
    """
    levels: list[_Level] = []
    for node, left in walk(copy):
        if not node.path and not left:
            levels.append(_Level(node, [os.fsencode(layer) for layer in layers], told=True))
            yield node, False
        elif left:
            gone = list(_gone(levels[-1], prefix))
            if gone:
                yield from _tell(levels)
            for whiteout in gone:
                yield whiteout, False
            if levels.pop().told:
                yield node, True
        else:
            parent = levels[-1]
            parent.seen.add(node.leaf)
            shown = look_up(parent.below, node.leaf, prefix)
            if node.is_folder:
                levels.append(_Level(node, shown.folders))
            if _differs(node, shown, since):
                yield from _tell(levels)
                if not node.is_folder:
                    yield node, False


def _tell(levels: list[_Level]) -> Iterator[tuple[Node, bool]]:
    """Yield the folders that lead here and were not told yet."""
    for level in levels:
        if not level.told:
            level.told = True
            yield level.node, False


def _gone(level: _Level, prefix: bytes) -> Iterator[Node]:
    for leaf in sorted(names(level.below) - level.seen):
        shown = look_up(level.below, leaf, prefix)
        if shown.status is not None and not stat.S_ISSOCK(shown.status.st_mode):
            path = level.node.path + b"/" + leaf if level.node.path else leaf
            yield Node(path, leaf, level.node.folder, shown.status, is_whiteout=True)


def _differs(node: Node, shown: Shown, since: int) -> bool:
    old, new = shown.status, node.status
    if old is None or new.st_ctime_ns > since:
        return True
    facts = (new.st_mode, new.st_uid, new.st_gid)
    if facts != (old.st_mode, old.st_uid, old.st_gid):
        return True
    return not node.is_folder and (new.st_size, new.st_mtime_ns) != (old.st_size, old.st_mtime_ns)
