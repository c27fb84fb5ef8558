"""The paths of one layer in the making, each at the place where the host has it."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST_LINKS = 40  # what the kernel follows in one path before ELOOP
BYTECODE = ".pyc"
CACHE = "__pycache__"

Skip = Callable[[str, bool], bool]
"""Called with a path and whether it is a folder; true to leave it out."""


class Entry(NamedTuple):
    """One path of the image: a folder, a file of the host, a symlink, or a file of ours."""

    path: str
    mode: int
    kind: int
    """stat.S_IFDIR, S_IFREG or S_IFLNK."""
    link: str = ""
    content: bytes | None = None
    stamp: tuple[int, ...] = ()
    """Of a host's file: size, time in ns, inode, time of change; another file has another one."""
    origin: str = ""
    """Where the host has it."""

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return self.stamp[0] if self.stamp else len(self.content or b"")

    @property
    def changed(self) -> int:
        """When a host's file was last written, in ns."""
        return self.stamp[1]

    @property
    def source(self) -> str:
        """Of bytecode, the path of the module it was compiled from; otherwise empty."""
        folder, name = os.path.split(self.path)
        if not name.endswith(BYTECODE) or not folder.endswith(f"/{CACHE}"):
            return ""
        return f"{os.path.dirname(folder)}/{name.partition('.')[0]}.py"


class Tree:
    """A set of paths that is complete: each one's folders, and the symlinks on the way to it.

    Modes are made plain (755 and 644: nobody but the owner writes, everybody reads, no setuid), as
    an image's user is seldom the one who owned the files on the host.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._complete: set[str] = set()

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, each after its folder."""
        return iter(sorted(self._entries.values()))

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def __bool__(self) -> bool:
        return any(entry.kind != stat.S_IFDIR for entry in self._entries.values())

    def get(self, path: str) -> Entry | None:
        """Return the entry of a path."""
        return self._entries.get(path)

    def files(self) -> list[str]:
        """Return the host's files that are in it, in a stable order."""
        found = self._entries.values()
        return sorted(e.origin for e in found if e.origin)

    def placed(self) -> set[str]:
        """Return every path but the folders: what no second layer has to bring."""
        return {e.path for e in self._entries.values() if e.kind != stat.S_IFDIR}

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry.size for entry in self._entries.values())

    @property
    def count(self) -> int:
        """How many files and symlinks it has."""
        return sum(entry.kind != stat.S_IFDIR for entry in self._entries.values())

    def fingerprint(self) -> str:
        """Return a digest of all that says whether a layer made of this is the same as before.

        Contents are told by their stamps. Bytecode is left out: Python writes some whenever a
        module is first imported, and nothing depends on it.
        """
        told = hashlib.sha256()
        for entry in self:
            if not entry.source:
                told.update(repr(tuple(entry)).encode("utf-8", "surrogateescape"))
        return told.hexdigest()

    def add(self, path: str) -> str | None:
        """Add the file or folder that `path` leads to, with every symlink on the way.

        Returns its real path, or None when nothing is there or it cannot be read.
        """
        links = 0
        done, rest = "/", [part for part in path.split("/") if part]
        while rest:
            part, rest = rest[0], rest[1:]
            here = os.path.normpath(os.path.join(done, part))
            try:
                found = os.lstat(here)
            except OSError:
                return None
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > MOST_LINKS:
                    return None
                target = self._link(here)
                rest = [p for p in target.split("/") if p] + rest
                done = "/" if target.startswith("/") else done
            else:
                self._record(here, found)
                done = here
        return done

    def add_as_is(self, path: str, found: os.stat_result) -> None:
        """Add one path with its folders; a symlink is kept and not followed.

        What it names may be somebody's secret. `found` is what lstat says of it.
        """
        folder = os.path.dirname(path)
        if folder not in self._complete:
            self.add(folder)
            self._complete.add(folder)
        if stat.S_ISLNK(found.st_mode):
            self._link(path)
        else:
            self._record(path, found)

    def add_folder(self, path: str, skip: Skip) -> None:
        """Add a folder and all below it, but for what `skip` leaves out; symlinks are kept."""
        if real := self.add(path):
            for child, found in walk(real, skip):
                self.add_as_is(child, found)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """Add an empty folder of the image's own."""
        self._entries[path] = Entry(path, mode, stat.S_IFDIR)

    def make_file(self, path: str, content: str) -> None:
        """Add a file of the image's own, or what the image has in the place of the host's."""
        folder = os.path.dirname(path)
        if self.add(folder) is None:
            self._make_folders(folder)
        self._entries[path] = Entry(path, 0o644, stat.S_IFREG, content=content.encode())

    def make_link(self, path: str, target: str) -> None:
        """Add a symlink of the image's own, where the host has nothing in that place."""
        self._entries.setdefault(path, Entry(path, 0o777, stat.S_IFLNK, target))

    def join(self, other: "Tree") -> None:
        """Add all of another tree."""
        self._entries |= other._entries

    def move(self, source: str, target: str) -> None:
        """Put what is below `source` below `target` instead."""
        moved = {}
        for path, entry in self._entries.items():
            if path == source or path.startswith(f"{source}/"):
                moved[target + path[len(source) :]] = entry
        self._entries = {p: e._replace(path=p) for p, e in moved.items()}
        self._make_folders(os.path.dirname(target))

    def leave_out(self, paths: set[str]) -> None:
        """Take paths away that another layer brings, and the folders that were only for them."""
        gone = paths & self.placed()
        if not gone:
            return
        kept = {p: e for p, e in self._entries.items() if p not in gone}
        needed: set[str] = set()
        for path, entry in kept.items():
            if entry.kind != stat.S_IFDIR:
                needed.update(_folders(path))
        only = {folder for path in gone for folder in _folders(path)} - needed
        self._entries = {p: e for p, e in kept.items() if p not in only}

    def agree(self, modes: dict[str, int]) -> None:
        """Give folders the modes that they have in the layers below, and add those of its own.

        The uppermost layer that has a folder says what its mode is: /tmp would lose its sticky bit
        to an environment that lies in it.
        """
        for path, entry in self._entries.items():
            if entry.kind == stat.S_IFDIR:
                self._entries[path] = entry._replace(mode=modes.setdefault(path, entry.mode))

    def _make_folders(self, path: str) -> None:
        for folder in (*_folders(path), path):
            if folder != "/" and folder not in self._entries:
                self.make_folder(folder)

    def _link(self, path: str) -> str:
        target = os.readlink(path)
        self._entries[path] = Entry(path, 0o777, stat.S_IFLNK, target)
        return target

    def _record(self, path: str, found: os.stat_result) -> None:
        if stat.S_ISDIR(found.st_mode):
            self._entries.setdefault(path, Entry(path, 0o755, stat.S_IFDIR))
        elif stat.S_ISREG(found.st_mode):
            mode = 0o755 if found.st_mode & 0o111 else 0o644
            stamp = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
            entry = Entry(path, mode, stat.S_IFREG, stamp=stamp, origin=path)
            self._entries.setdefault(path, entry)


def walk(folder: str, skip: Skip) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all that is below a folder with what lstat says of it, but for what `skip` leaves out.

    A folder that this user may not read is no part of what is captured, nor is one that is gone.
    """
    pending = [folder]
    while pending:
        try:
            children = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for child in children:
            is_folder = child.is_dir(follow_symlinks=False)
            if skip(child.path, is_folder):
                continue
            try:
                yield child.path, child.stat(follow_symlinks=False)
            except OSError:
                continue
            if is_folder:
                pending.append(child.path)


def _folders(path: str) -> Iterator[str]:
    """Yield the folders that a path is in, the highest first, without the root."""
    at = path.find("/", 1)
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)
