"""The changes of a container whose root was restored: its upper folder over a checkpoint's tree.

Both are in an overlay's form. What they show together is yielded as one upper folder would have it,
against the image alone, so that `diff`, commits and sizes need not know of checkpoints.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ipycontainer_runtime.layers.merged import look_up
from ipycontainer_runtime.layers.upper import (
    OPEN_FOLDER,
    Node,
    child,
    is_opaque,
    is_whiteout,
    names_in,
)


@dataclass
class _Level:
    """A folder of the walk: as the upper has it, as the checkpoint has it, and the image's."""

    upper: Node | None
    base: Node | None
    below: Sequence[bytes]
    names: list[bytes] = field(default_factory=list)

    @property
    def node(self) -> Node:
        """Return the one that is seen."""
        found = self.upper or self.base
        assert found is not None, "a level is made of a folder that was found"
        return found

    def close(self) -> None:
        """Close both folders."""
        for node in (self.upper, self.base):
            if node is not None:
                os.close(node.folder)


def walk_restored(
    upper: Path, base: Path, layers: Sequence[Path], prefix: bytes
) -> Iterator[tuple[Node, bool]]:
    """Yield what an upper folder over a checkpoint's tree shows, in the form of `walk_upper`.

    `layers` are what lies below both, uppermost first; `prefix` is that of overlay's xattrs.
    """
    first = _Level(_top(upper), _top(base), [os.fsencode(layer) for layer in layers])
    stack = [_entered(first)]
    try:
        yield first.node, False
        while stack:
            level = stack[-1]
            if not level.names:
                yield level.node, True
                stack.pop().close()
                continue
            found = _found(level, level.names.pop(), prefix)
            if isinstance(found, _Level):
                stack.append(_entered(found))
                yield found.node, False
            elif found is not None:
                yield found, False
    finally:
        for level in stack:
            level.close()


def _top(folder: Path) -> Node:
    opened = os.open(folder, OPEN_FOLDER)
    return Node(b"", b".", opened, os.fstat(opened), opened)


def _entered(level: _Level) -> _Level:
    folders = [node.folder for node in (level.upper, level.base) if node is not None]
    level.names = sorted({name for folder in folders for name in names_in(folder)}, reverse=True)
    return level


def _look(parent: Node | None, leaf: bytes, prefix: bytes) -> Node | None:
    node = child(parent, leaf) if parent is not None else None
    if node is not None and node.is_folder:
        node.is_opaque = is_opaque(node.folder, prefix)
    elif node is not None:
        node.is_whiteout = is_whiteout(node.status)
    return node


def _found(level: _Level, leaf: bytes, prefix: bytes) -> Node | _Level | None:
    upper, base = _look(level.upper, leaf, prefix), _look(level.base, leaf, prefix)
    image = look_up(level.below, leaf, prefix)
    if base is not None and base.is_folder and _hides(upper):
        os.close(base.folder)
        base = None
    if upper is not None and upper.is_folder and base is not None:
        if base.is_folder:
            upper.is_opaque = base.is_opaque
        else:
            upper.is_opaque, base = bool(image.folders), None
    node = upper or base
    if node is None or (node.is_whiteout and image.status is None):
        return None  # what it takes away was the checkpoint's alone
    if not node.is_folder:
        return node
    return _Level(upper, base, () if node.is_opaque else image.folders)


def _hides(upper: Node | None) -> bool:
    """Tell whether nothing of a folder below shows through."""
    return upper is not None and (not upper.is_folder or upper.is_opaque)
