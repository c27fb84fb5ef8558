"""What each layer of an image adds, changes and removes, and which bytes of it nobody can see.

Layers are walked from the lowest up, and what they show together is kept as a tree of names. A
file that a later layer replaces or removes is still stored, sent and pulled: those bytes are
wasted. A file with several names is wasted when the last of them is hidden.
"""

import heapq
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.layers.untar import is_whiteout
from ipycontainer_runtime.layers.upper import Node, below, walk_upper

ADDED, CHANGED, REMOVED = "A", "C", "D"
MOST_FILES = 1_000_000
"""Names that are compared at most; each takes some 250 bytes of memory meanwhile."""

_LARGEST = 10
_MOST_WASTED = 100


class File:
    """What a layer stores under one or more names."""

    __slots__ = ("hidden_by", "layer", "names", "size")

    def __init__(self, layer: int, size: int) -> None:
        self.layer = layer
        self.size = size
        self.names = 0
        self.hidden_by = 0
        """The layer that hid its last name, counted from 1."""


Folder: TypeAlias = "dict[bytes, Folder | File]"


class Named(NamedTuple):
    """One name that a layer has a say about; ordered by size."""

    size: int
    path: bytes
    kind: str
    layer: int
    mode: int
    file: File | None
    """What it names; None for a name that was removed."""


@dataclass
class Tally:
    """Files and their bytes."""

    files: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count one more."""
        self.files += 1
        self.size += size


@dataclass
class LayerContents:
    """What one layer does to those below; `hidden` are its bytes that later ones hide."""

    added: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    removed: Tally = field(default_factory=Tally)
    hidden: int = 0
    largest: list[Named] = field(default_factory=list)


@dataclass
class Waste:
    """A path of which hidden copies are stored."""

    size: int = 0
    layers: list[int] = field(default_factory=list)
    """Those that store a hidden copy, counted from 1."""
    hidden_by: list[int] = field(default_factory=list)


class Wanted:
    """Which names to keep a list of: the `most` largest of those that `takes` lets through."""

    def __init__(self, most: int) -> None:
        self.total = Tally()
        self._most = most
        self._heap: list[tuple[int, int, Named]] = []

    def takes(self, layer: int, path: bytes) -> bool:
        """Tell whether a name of a layer is wanted."""
        return False

    def offer(self, name: Named) -> None:
        """Keep a name if it is wanted, and among the largest."""
        if not self.takes(name.layer, name.path):
            return
        self.total.add(name.size)
        # The count tells those of one size apart: the first stays.
        entry = (name.size, -self.total.files, name)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    @property
    def names(self) -> list[Named]:
        """What was kept, largest first."""
        return [name for _, _, name in sorted(self._heap, reverse=True)]


class Contents:
    """The contents of an image; `layers` are its unpacked folders, lowest first.

    `prefix` is that of overlay's xattrs. Raises Unavailable past MOST_FILES, FileNotFoundError when
    a layer is removed meanwhile.
    """

    def __init__(self, layers: Sequence[Path], prefix: bytes, wanted: Wanted | None = None) -> None:
        self.layers: list[LayerContents] = []
        self.waste: dict[bytes, Waste] = {}
        self.files = 0
        """Names of files that the image shows."""
        self._prefix = prefix
        self._wanted = wanted or Wanted(0)
        self._root: Folder = {}
        self._here = LayerContents()
        self._number = 0
        for self._number, folder in enumerate(layers, 1):
            self._here = LayerContents()
            self.layers.append(self._here)
            self._add(folder)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.added.size + layer.changed.size for layer in self.layers)

    @property
    def wasted(self) -> int:
        """Bytes that are stored and that the image does not show."""
        return sum(layer.hidden for layer in self.layers)

    def most_wasted(self) -> list[tuple[bytes, Waste]]:
        """Return the paths with the most hidden bytes, the most first."""
        return heapq.nlargest(_MOST_WASTED, self.waste.items(), key=lambda item: item[1].size)

    def _add(self, layer: Path) -> None:
        inodes: dict[int, File] = {}
        folders: list[Folder] = []
        for node, left in walk_upper(layer, self._prefix):
            if left:
                folders.pop()
            elif not node.path:
                folders.append(self._root)
            elif node.is_folder:
                folders.append(self._enter(folders[-1], node))
            elif is_whiteout(node.status):
                self._remove(folders[-1], node)
            else:
                self._store(folders[-1], node, inodes)

    def _enter(self, parent: Folder, node: Node) -> Folder:
        shown = parent.get(node.leaf)
        if shown is not None and (node.is_opaque or isinstance(shown, File)):
            self._take_away(node.path, shown)
            shown = None
        if shown is None or isinstance(shown, File):
            shown = parent[node.leaf] = {}
        return shown

    def _remove(self, parent: Folder, node: Node) -> None:
        shown = parent.pop(node.leaf, None)
        if shown is not None:
            self._take_away(node.path, shown)

    def _take_away(self, path: bytes, shown: "Folder | File") -> None:
        gone = self._hide(path, shown)
        self._wanted.offer(Named(gone, path, REMOVED, self._number, 0, None))

    def _store(self, parent: Folder, node: Node, inodes: dict[int, File]) -> None:
        file, size = self._file(node.status, inodes)
        shown, kind = parent.get(node.leaf), ADDED
        if isinstance(shown, File):
            kind = CHANGED
            self._hide_file(node.path, shown)
            self.files -= 1
        elif shown is not None:
            self._take_away(node.path, shown)
        parent[node.leaf] = file
        file.names += 1
        self.files += 1
        if self.files > MOST_FILES:
            raise Unavailable(f"the image has more than {MOST_FILES:,} files, too many to compare")
        (self._here.added if kind == ADDED else self._here.changed).add(size)
        name = Named(size, node.path, kind, self._number, node.status.st_mode, file)
        self._wanted.offer(name)
        self._keep_large(name)

    def _file(self, status: os.stat_result, inodes: dict[int, File]) -> tuple[File, int]:
        """Return what is stored, and its bytes if this is the first of its names."""
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        if status.st_nlink > 1:
            known = inodes.get(status.st_ino)
            if known is not None:
                return known, 0
            inodes[status.st_ino] = File(self._number, size)
            return inodes[status.st_ino], size
        return File(self._number, size), size

    def _keep_large(self, name: Named) -> None:
        largest = self._here.largest
        if name.size and (len(largest) < _LARGEST or name.size > largest[0].size):
            (heapq.heappush if len(largest) < _LARGEST else heapq.heappushpop)(largest, name)

    def _hide(self, path: bytes, shown: "Folder | File") -> int:
        """Take away what is shown at a path and below; return the bytes that are wasted by it."""
        gone = 0
        for at, file in _files(path, shown):
            gone += self._hide_file(at, file)
            self._here.removed.files += 1
            self.files -= 1
        self._here.removed.size += gone
        return gone

    def _hide_file(self, path: bytes, file: File) -> int:
        file.names -= 1
        if file.names:
            return 0
        file.hidden_by = self._number
        self.layers[file.layer - 1].hidden += file.size
        if file.size:
            waste = self.waste.setdefault(path, Waste())
            waste.size += file.size
            waste.layers.append(file.layer)
            waste.hidden_by.append(self._number)
        return file.size


def _files(path: bytes, shown: "Folder | File") -> Iterator[tuple[bytes, File]]:
    """Yield every file at a path and below; no recursion, since images nest deeper than stacks."""
    left: list[tuple[bytes, Folder | File]] = [(path, shown)]
    while left:
        at, found = left.pop()
        if isinstance(found, File):
            yield at, found
        else:
            left += [(below(at, leaf), inner) for leaf, inner in found.items()]
