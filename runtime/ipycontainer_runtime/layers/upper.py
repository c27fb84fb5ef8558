"""Walking an overlay's upper folder while a container may write to it.

Every folder and file is opened by its name in its parent's descriptor, following no link: a
container that swaps a folder for a symlink gets nothing of the host into its image. No recursion:
a container can nest folders deeper than any stack.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipycontainer_runtime.errors import InvalidParameter

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_MAX = 4096


@dataclass(slots=True)
class Node:
    """One name in an upper folder."""

    path: bytes
    """Relative to the root."""
    leaf: bytes
    parent: int
    """Descriptor of the folder it is in."""
    status: os.stat_result
    folder: int = -1
    """Descriptor of the folder it is, if it is one."""
    is_whiteout: bool = False
    """Whether it marks a name of the lower folders as taken away."""
    is_opaque: bool = False
    """Whether it is a folder that hides all that the layers below have at its path."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)


def walk(top: Path | int, path: bytes = b"") -> Iterator[tuple[Node, bool]]:
    """Yield each node as (node, False) in order of its path, and each folder again when it is left.

    The second time it is (node, True). `top`, a folder or its descriptor, which stays the caller's,
    comes first and last, with `path`; what is in it has paths below that.
    """
    root = os.open(top, OPEN_FOLDER) if isinstance(top, Path) else os.dup(top)
    node = Node(path, b".", root, os.fstat(root), root)
    stack = [(node, iter(names_in(root)))]
    try:
        yield node, False
        while stack:
            folder, names = stack[-1]
            leaf = next(names, None)
            if leaf is None:
                yield folder, True
                stack.pop()
                os.close(folder.folder)
                continue
            found = child(folder, leaf)
            if found is None:
                continue
            if found.is_folder:
                stack.append((found, iter(names_in(found.folder))))
            yield found, False
    finally:
        for folder, _ in stack:
            os.close(folder.folder)


def walk_upper(upper: Path, prefix: bytes) -> Iterator[tuple[Node, bool]]:
    """Walk an overlay's upper folder, whose marks have xattrs that begin with `prefix`."""
    for node, left in walk(upper):
        if node.is_folder:
            node.is_opaque = bool(node.path) and is_opaque(node.folder, prefix)
        else:
            node.is_whiteout = is_whiteout(node.status)
        yield node, left


def remove_tree(parent: int, leaf: str | bytes) -> None:
    """Remove what has this name, a folder with all that is in it, also while somebody else writes.

    A name that has gone is no error; OSError where somebody puts more into a folder all the time.
    """
    try:
        folder = os.open(leaf, OPEN_FOLDER, dir_fd=parent)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(leaf, dir_fd=parent)
        return
    try:
        for node, left in walk(folder):
            if node.path and node.is_folder == left:
                (os.rmdir if left else os.unlink)(node.leaf, dir_fd=node.parent)
    finally:
        os.close(folder)
    os.rmdir(leaf, dir_fd=parent)


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether a node of an upper folder marks a name as taken away."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def names_in(folder: int) -> list[bytes]:
    """Return the names in an open folder, sorted."""
    # os.listdir by descriptor gives str only.
    return sorted(map(os.fsencode, os.listdir(folder)))


def below(folder: bytes, leaf: bytes) -> bytes:
    """Return the path of a name in a folder; the root may be `/`, or empty."""
    return folder + leaf if folder in (b"", b"/") else folder + b"/" + leaf


def child(folder: Node, leaf: bytes) -> Node | None:
    """Return the node of this name; None where it has just gone."""
    path = below(folder.path, leaf)
    if len(path) >= _PATH_MAX:
        raise InvalidParameter(
            f"the container has folders nested beyond {_PATH_MAX - 1} bytes of path, at"
            f" {os.fsdecode(path[:80])}…: remove them"
        )
    try:
        status = os.stat(leaf, dir_fd=folder.folder, follow_symlinks=False)
        node = Node(path, leaf, folder.folder, status)
        if node.is_folder:
            node.folder = os.open(leaf, OPEN_FOLDER, dir_fd=folder.folder)
            node.status = os.fstat(node.folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return node


def is_opaque(folder: int | bytes, prefix: bytes) -> bool:
    """Tell whether a folder hides all that the layers below have at its path."""
    try:
        return os.getxattr(folder, prefix + b"overlay.opaque") == b"y"
    except OSError:
        return False
