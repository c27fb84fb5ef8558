"""What a container's checkpoints are made of, on disk.

A checkpoint is a *tree*: what a container changed against its image, by path. Each file of it is
an *object*, one inode that was copied once and is never written again; trees that have the same
file have the same object. So a checkpoint's own record is small: what its tree has other than the
tree before it.

    checkpoints/pool/<number>       objects; of a folder an empty one, for its attributes
    checkpoints/records/<number>    a record, and what its tree has other than the one before
    checkpoints/roots/<number>/     a root that a checkpoint was restored to: see layers/stand
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.store import atomic

WHITEOUT, FOLDER, OPAQUE, OTHER = "w", "d", "o", "f"
"""Kinds of entries; an opaque folder hides all that the image has at its path."""

Seen = tuple[int, int, int, int]
"""Inode, size, and times of change and of modification in nanoseconds."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a tree has at a path."""

    kind: str
    number: int = 0
    """Of the object; a whiteout has none."""
    size: int = 0
    """Bytes of a regular file."""
    seen: Seen | None = None
    """What the live file was when it was copied; None where it has to be copied again."""


Tree = dict[bytes, Entry]
"""Entries by path, relative to the root, which is the empty path."""


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One checkpoint, as its record has it."""

    name: str
    number: int
    created: str
    root: int = 0
    """Number of the root that the container had; 0 for the one it was made with."""
    parent: str = ""
    """The checkpoint that was made, or restored, last before."""
    added: int = 0
    changed: int = 0
    deleted: int = 0
    size: int = 0
    """Bytes of the files that were copied for it."""


class _Stored(msgspec.Struct, array_like=True):
    checkpoint: Checkpoint
    gone: list[bytes]
    put: Tree


class _Root(msgspec.Struct, array_like=True):
    name: str
    tree: Tree


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode
_decode_root = msgspec.msgpack.Decoder(_Root).decode


class CheckpointStore:
    """The checkpoints of one container, oldest first; one thread at a time uses it.

    A record is renamed into place after its objects are there, and what no record has is swept
    when the store is opened: a checkpoint is whole, or is not.
    """

    def __init__(self, container: Path) -> None:
        self.folder = container / "checkpoints"
        self.pool = self.folder / "pool"
        self._records = self.folder / "records"
        self._roots = self.folder / "roots"
        self._link = container / "restored"
        self._coming = container / ".restored"
        self._stored: list[_Stored] = []
        self.last: Tree = {}
        """The tree of the newest checkpoint."""
        self.base: Tree = {}
        """The tree that the container's root stands on, if it was restored to one."""
        self.live: Tree = {}
        """What the container's own files were when they were looked at last."""
        self.at = ""
        """The name of the checkpoint that was made, or restored, last."""
        self._next = 1
        if self.folder.exists():
            self._load()

    # -- reading

    def _load(self) -> None:
        names = sorted(int(name) for name in os.listdir(self._records) if name.isdecimal())
        for number in names:
            self._stored.append(_decode((self._records / str(number)).read_bytes()))
        self.last = self._tree(len(self._stored))
        if self.root:
            found = _decode_root((self._roots / str(self.root) / "tree").read_bytes())
            self.base, self.at = found.tree, found.name
        if self._stored and (newest := self._stored[-1].checkpoint).root == self.root:
            base = self.base
            self.live = {p: e for p, e in self.last.items() if e.seen or not _in(base, p, e)}
            self.at = newest.name
        self._sweep()

    @property
    def root(self) -> int:
        """Number of the root that the container has now."""
        try:
            return int(os.path.basename(os.readlink(self._link)))
        except FileNotFoundError:
            return 0

    def all(self) -> list[Checkpoint]:
        """Return the checkpoints, oldest first."""
        return [stored.checkpoint for stored in self._stored]

    def has(self, name: str) -> bool:
        """Tell whether a checkpoint is called this."""
        return any(stored.checkpoint.name == name for stored in self._stored)

    def current(self) -> Tree:
        """Return the tree of the checkpoint that was made, or restored, last."""
        if self._stored and self._stored[-1].checkpoint.name == self.at:
            return self.last
        if self.has(self.at):
            return self.tree(self.at)
        return self.base or self.last

    def _index(self, name: str) -> int:
        for index, stored in enumerate(self._stored):
            if stored.checkpoint.name == name:
                return index
        raise NotFound(f"No such checkpoint: {name}")

    def get(self, name: str) -> Checkpoint:
        """Return the checkpoint with this name; NotFound otherwise."""
        return self._stored[self._index(name)].checkpoint

    def tree(self, name: str) -> Tree:
        """Return a checkpoint's tree."""
        return self._tree(self._index(name) + 1)

    def before(self, name: str) -> Tree:
        """Return the tree that a checkpoint's changes are told against."""
        index = self._index(name)
        parent = self._stored[index].checkpoint.parent
        return self.tree(parent) if self.has(parent) else self._tree(index)

    def _tree(self, count: int) -> Tree:
        tree: Tree = {}
        for stored in self._stored[:count]:
            for path in stored.gone:
                tree.pop(path, None)
            tree.update(stored.put)
        return tree

    # -- writing

    def prepare(self) -> None:
        """Make the folders of a container's first checkpoint."""
        for folder in (self.folder, self.pool, self._records, self._roots):
            folder.mkdir(mode=0o700, exist_ok=True)

    def objects(self) -> Iterator[int]:
        """Yield numbers for new objects."""
        while True:
            self._next += 1
            yield self._next - 1

    def number(self) -> int:
        """Return the number of the next checkpoint."""
        return self._stored[-1].checkpoint.number + 1 if self._stored else 1

    def add(self, checkpoint: Checkpoint, tree: Tree, live: Tree) -> None:
        """Keep a checkpoint whose objects are in the pool."""
        last = self.last
        stored = _Stored(
            checkpoint,
            [path for path in last if path not in tree],
            {path: entry for path, entry in tree.items() if _differs(last.get(path), entry)},
        )
        self._write(stored)
        self._stored.append(stored)
        self.last, self.live, self.at = tree, live, checkpoint.name

    def _write(self, stored: _Stored) -> None:
        path = self._records / str(stored.checkpoint.number)
        atomic.write(path, _encode(stored), mode=0o600, durable=False)

    def remove(self, name: str) -> None:
        """Forget a checkpoint; what only it had leaves the disk."""
        index = self._index(name)
        going = self._stored[index]
        if index + 1 < len(self._stored):
            after = self._stored[index + 1]
            composed = {**going.put}
            for path in after.gone:
                composed.pop(path, None)
            composed.update(after.put)
            gone = {*going.gone, *after.gone} - composed.keys()
            after = _Stored(after.checkpoint, [*gone], composed)
            # Its own record does no harm below this one, if the engine ends in between.
            self._write(after)
            self._stored[index + 1] = after
        (self._records / str(going.checkpoint.number)).unlink()
        del self._stored[index]
        self.last = self._tree(len(self._stored))
        self._sweep()

    def _sweep(self) -> None:
        """Delete the objects that no tree has, and the roots that are not the container's."""
        trees = [*(stored.put for stored in self._stored), self.base]
        needed = {entry.number for tree in trees for entry in tree.values()}
        for number in _numbers(self.pool):
            self._next = max(self._next, number + 1)
            if number not in needed:
                _delete(self.pool / str(number))
        self.live = {p: e for p, e in self.live.items() if not e.number or e.number in needed}

    def discard(self, numbers: Iterable[int]) -> None:
        """Delete the objects of a checkpoint that came to nothing."""
        for number in numbers:
            with contextlib.suppress(FileNotFoundError):
                _delete(self.pool / str(number))

    def forgo(self, numbers: Iterable[int], live: Tree) -> None:
        """Delete the new objects of a look at files that had nothing to be kept."""
        made = {*numbers}
        self.discard(made)
        self.live = {path: entry for path, entry in live.items() if entry.number not in made}

    # -- roots

    def new_root(self) -> Path:
        """Make the folder of a root that is still to be filled."""
        number = max([self.root, *_numbers(self._roots)], default=0) + 1
        root = self._roots / str(number)
        root.mkdir(mode=0o710)
        return root

    def make_ready(self, root: Path, name: str, tree: Tree) -> None:
        """Do all that can fail for want of room before a root that was filled becomes the one."""
        data = _encode(_Root(name, _as_base(tree)))
        atomic.write(root / "tree", data, mode=0o600, durable=False)
        with contextlib.suppress(FileNotFoundError):
            self._coming.unlink()
        self._coming.symlink_to(f"checkpoints/roots/{root.name}")

    def stand_on(self, name: str, tree: Tree) -> None:
        """Make the root that is ready the container's, in one step."""
        self._coming.rename(self._link)
        self.base, self.live, self.at = _as_base(tree), {}, name

    def left_roots(self) -> list[Path]:
        """Return the folders of roots that are no longer, or never were, the container's."""
        own = self.root
        return [self._roots / str(n) for n in _numbers(self._roots) if n != own]

    def size(self) -> int:
        """Return the bytes of all files that the checkpoints hold, each once."""
        sizes = {e.number: e.size for stored in self._stored for e in stored.put.values()}
        return sum(sizes.values())


def _differs(before: Entry | None, entry: Entry) -> bool:
    return before is not entry and before != entry


def _in(tree: Tree, path: bytes, entry: Entry) -> bool:
    return path in tree and tree[path].number == entry.number


def _as_base(tree: Tree) -> Tree:
    return {path: Entry(e.kind, e.number, e.size) for path, e in tree.items()}


def _numbers(folder: Path) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdecimal()]
    except FileNotFoundError:
        return []


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except IsADirectoryError:
        path.rmdir()
