"""Looking over what a container changed, for a checkpoint: what was touched since the last one.

A file is unchanged if it is the inode that it was, with the same size and times: the kernel moves
the time of change with whatever is done to it. Two things it does not show: what is touched twice
in one tick of its clock, and a write to memory that a file was mapped to before. Who was touched a
moment ago, or is mapped so, is copied again by the next checkpoint.
"""

import os
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ipycontainer_runtime.layers.objects import Pool, seen
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, Node, child, is_opaque, is_whiteout
from ipycontainer_runtime.store.checkpoints import FOLDER, OPAQUE, OTHER, WHITEOUT, Entry, Tree

TICK = 20_000_000
"""Nanoseconds in which two changes may get one time: kernels count 100 ticks a second, or more."""


def look_over(
    nodes: Iterable[tuple[Node, bool]],
    known: Tree,
    live: Tree,
    pool: Pool,
    mapped: Container[bytes],
) -> None:
    """Put into `live` what a walk finds, by path, with the objects that are known, and new ones.

    Those whose path is in `mapped` may be written to unseen.
    """
    for node, left in nodes:
        if left:
            continue
        entry = known.get(node.path)
        if entry is None or not _same(entry, node):
            entry = pool.take(node, entry, mapped=node.path in mapped)
        if entry is not None:
            live[node.path] = entry


def _same(entry: Entry, node: Node) -> bool:
    if node.is_whiteout or entry.kind == WHITEOUT:
        return node.is_whiteout and entry.kind == WHITEOUT
    if entry.seen != seen(node.status):
        return False
    return entry.kind == OTHER or node.is_opaque == (entry.kind == OPAQUE)


@dataclass
class _Level:
    node: Node
    names: "list[os.DirEntry[str]] | None" = None
    """Those that are left; None before the folder itself was looked at."""


def walk_touched(top: Path, known: Tree, live: Tree, prefix: bytes) -> Iterator[tuple[Node, bool]]:
    """Walk an overlay's upper folder, yielding what is not as `known` has it.

    What is goes into `live` at once: most files of most containers are, and a walk that yields
    each of them takes three times as long.
    """
    root = os.open(top, OPEN_FOLDER)
    stack = [_Level(Node(b"", b".", root, os.fstat(root), root))]
    try:
        while stack:
            level = stack[-1]
            node = level.node
            if level.names is None:
                node.is_opaque = bool(node.path) and is_opaque(node.folder, prefix)
                same = known.get(node.path)
                if same is not None and _same(same, node):
                    live[node.path] = same
                else:
                    yield node, False
                level.names = _touched(node, known, live)
            elif not level.names:
                os.close(stack.pop().node.folder)
            elif found := child(node, os.fsencode(level.names.pop().name)):
                if found.is_folder:
                    stack.append(_Level(found))
                else:
                    found.is_whiteout = is_whiteout(found.status)
                    yield found, False
    finally:
        for level in stack:
            os.close(level.node.folder)


def _touched(folder: Node, known: Tree, live: Tree) -> "list[os.DirEntry[str]]":
    """Return the names in a folder that are folders, or not as they are known."""
    start = folder.path + b"/" if folder.path else b""
    found, encode, get = [], os.fsencode, known.get
    with os.scandir(folder.folder) as entries:
        for entry in entries:
            name = start + encode(entry.name)
            same = get(name)
            if same is None or same.kind != OTHER:
                found.append(entry)
                continue
            try:
                s = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if same.seen == (s.st_ino, s.st_size, s.st_ctime_ns, s.st_mtime_ns):
                live[name] = same
            else:
                found.append(entry)
    return found


def flattened(base: Tree, live: Tree, shows: Callable[[bytes], bool]) -> Tree:
    """Return a container's changes as one tree, where its root stands on `base`.

    `shows` tells whether the image has something at a path: a mark that takes away nothing would
    be seen as a file.
    """
    if not base:
        return live
    tree = _uncovered(base, live)
    for path, entry in live.items():
        before = tree.get(path)
        if entry.kind == WHITEOUT:
            tree.pop(path, None)
            if shows(path) and not any(_is_opaque(tree, above) for above in _above(path)):
                tree[path] = entry
        elif entry.kind == FOLDER and before is not None and before.kind != FOLDER:
            # It was made where the base hides what the image has.
            tree[path] = Entry(OPAQUE, entry.number, 0, entry.seen)
        else:
            tree[path] = entry
    return tree


def _uncovered(base: Tree, live: Tree) -> Tree:
    """Return a base without what lies in folders that are gone, or were made anew."""
    covered = {
        path
        for path, entry in live.items()
        if entry.kind != FOLDER and path in base and base[path].kind in (FOLDER, OPAQUE)
    }
    if not covered:
        return {**base}
    tree: Tree = {}
    for path, entry in sorted(base.items()):
        if path and path.rpartition(b"/")[0] in covered:
            covered.add(path)
        else:
            tree[path] = entry
    return tree


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _is_opaque(tree: Tree, path: bytes) -> bool:
    entry = tree.get(path)
    return entry is not None and entry.kind == OPAQUE
