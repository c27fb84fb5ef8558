"""What COPY and ADD take: the paths of a context, or of another stage, that their words mean.

Every path is resolved by the kernel with the source's root as `/` (openat2, RESOLVE_IN_ROOT), so
that neither `..` nor a symlink leads out of it; what is found is packed by descriptor.
Sources: https://docs.docker.com/reference/dockerfile/#copy and Go's filepath.Match.
"""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ipycontainer_runtime.build.globs import matcher
from ipycontainer_runtime.build.ignore import Ignore
from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.launch.syscalls import openat2
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pack import Packing
from ipycontainer_runtime.layers.tarread import FOLDER, REGULAR, Entry
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, Node, walk

_WILD = re.compile(r"[*?\[\\]")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
Excluded = Callable[[str], bool]


def literal(path: str) -> str:
    """Return the pattern that means this path alone."""
    return "".join(f"\\{c}" if c in "*?[\\" else c for c in path)


def _nothing(path: str) -> bool:
    return False


class Chosen(NamedTuple):
    """One path that a word of COPY means."""

    path: str
    """As it was found, relative to the root."""
    real: str
    """Where its symlinks lead, relative to the root; empty for the root itself."""
    status: os.stat_result
    kept: str = ""
    """With --parents: the folders of its path that are kept."""

    @property
    def is_folder(self) -> bool:
        """Whether its contents are what is copied."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def name(self) -> str:
        """What it is called in a folder that it is copied into."""
        return posixpath.basename(self.path)


@dataclass(frozen=True)
class Selection:
    """What was chosen in the folder `root`, an open descriptor."""

    root: int
    chosen: tuple[Chosen, ...]
    excluded: Excluded = _nothing

    def nodes(self, one: Chosen, name: str) -> Iterator[Node]:
        """Yield what is copied of one path: a file under `name`, or a folder's contents below it.

        With --parents a folder goes with its contents.
        """
        top = os.fsencode(name)
        if not one.is_folder:
            parent, leaf = posixpath.split(one.real)
            folder = openat2(self.root, parent or "/", _FOLDER)
            try:
                status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
                yield Node(top, os.fsencode(leaf), folder, status)
            finally:
                os.close(folder)
            return
        folder = openat2(self.root, one.real or "/", _FOLDER)
        try:
            yield from self._below(folder, one, top)
        finally:
            os.close(folder)

    def _below(self, folder: int, one: Chosen, top: bytes) -> Iterator[Node]:
        skipped: bytes | None = None
        for node, left in walk(folder, top):
            if left or (node.path == top and not one.kept):
                continue
            if skipped is not None and node.path.startswith(skipped):
                continue
            inside = os.fsdecode(node.path[len(top) :]).strip("/")
            if inside and self._is_excluded(one, inside):
                skipped = node.path + b"/" if node.is_folder else skipped
                continue
            yield node

    def _is_excluded(self, one: Chosen, inside: str) -> bool:
        return self.excluded(inside) or self.excluded(posixpath.join(one.path, inside))

    def digest(self, ownership: Ownership, *, ids: bool) -> str:
        """Return a digest of names, kinds, modes, contents, and with `ids` owners; of no times.

        Without `ids` it is of what is left of the files when somebody else is given them.
        """
        found = hashlib.sha256()

        def adjust(entry: Entry) -> None:
            entry.mtime = 0
            if not ids:
                entry.uid = entry.gid = 0
                given_away(entry)

        tar = TarWriter(found.update)
        for entry in parent_entries(self, ownership):
            adjust(entry)
            tar.entry(entry)
        packing = Packing(tar, ownership, adjust)
        for one in self.chosen:
            found.update(
                b"%d %b\0" % (one.is_folder, os.fsencode(posixpath.join(one.kept, one.name)))
            )
            for node in self.nodes(one, "x"):
                packing.add(node)
        tar.close()
        return found.hexdigest()


@dataclass(frozen=True)
class Wanted:
    """The words of COPY or ADD that name sources."""

    keyword: str
    words: tuple[str, ...]
    parents: bool = False
    exclude: tuple[str, ...] = ()
    place: str = "build context or excluded by .dockerignore"
    """What messages call the source's root."""


def select(root: int, wanted: Wanted) -> Selection:
    """Find what the words mean; NotFound for one that means nothing."""
    chosen: list[Chosen] = []
    excluded = _matcher(wanted.exclude)
    for word in wanted.words:
        pivot, path = _pivot(word) if wanted.parents else ("", _clean(word))
        found = list(_matching(root, path, deep=wanted.parents)) if _WILD.search(path) else [path]
        for each in found:
            one = _look(root, each, wanted)
            if one is None or (not one.is_folder and excluded(one.path)):
                continue
            if wanted.parents:
                kept = one.path[len(pivot) :].strip("/")
                one = one._replace(kept=kept if one.is_folder else posixpath.dirname(kept) or ".")
            chosen.append(one)
    return Selection(root, tuple(chosen), excluded)


def _clean(word: str) -> str:
    return posixpath.normpath("/" + word.lstrip("/")).lstrip("/")


def _pivot(word: str) -> tuple[str, str]:
    """Return the part of a path before `/./`, which --parents does not keep, and the whole."""
    before, found, _ = word.partition("/./")
    return (_clean(before) if found else ""), _clean(word)


def _look(root: int, path: str, wanted: Wanted) -> Chosen | None:
    try:
        descriptor = openat2(root, path or "/", os.O_PATH)
    except OSError as error:
        raise NotFound(
            f"{wanted.keyword} failed: file not found in {wanted.place}: stat {path}: file does "
            "not exist"
        ) from error
    try:
        top = os.readlink(f"/proc/thread-self/fd/{root}")
        real = os.readlink(f"/proc/thread-self/fd/{descriptor}")[len(top.rstrip("/")) :]
        return Chosen(path, real.strip("/"), os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _matching(root: int, pattern: str, *, deep: bool) -> Iterator[str]:
    """Yield the paths that a pattern means, by name; `**` stands for any folders where `deep`."""
    parts = pattern.split("/")
    pending = [("", 0)]
    found: dict[str, None] = {}
    while pending:
        folder, depth = pending.pop()
        if depth == len(parts):
            found[folder] = None
            continue
        part = parts[depth]
        if not _WILD.search(part):
            pending.append((posixpath.join(folder, part), depth + 1))
            continue
        any_depth = deep and part == "**"
        if any_depth:
            pending.append((folder, depth + 1))
        matches = matcher(part)
        for name in _names(root, folder):
            below = posixpath.join(folder, name)
            if any_depth:
                pending.append((below, depth))
            elif matches(name):
                pending.append((below, depth + 1))
    for path in sorted(found):
        if path and _exists(root, path):
            yield path


def _names(root: int, folder: str) -> list[str]:
    try:
        descriptor = openat2(root, folder or "/", _FOLDER)
    except OSError:
        return []
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def _exists(root: int, path: str) -> bool:
    try:
        os.close(openat2(root, path, os.O_PATH))
    except OSError:
        return False
    return True


def _matcher(patterns: Sequence[str]) -> Excluded:
    if not patterns:
        return _nothing
    return Ignore.of(patterns).excludes


def given_away(entry: Entry) -> None:
    """Take from a file of the context what the kernel takes from one whose owner is set.

    So do Docker's builders; chown(2) tells of the modes, capabilities(7) of the attribute.
    """
    if entry.type == REGULAR:
        entry.mode &= ~stat.S_ISUID
        if entry.mode & stat.S_IXGRP:
            entry.mode &= ~stat.S_ISGID
        if entry.xattrs:
            entry.xattrs.pop(b"security.capability", None)


def parent_entries(selection: Selection, ownership: Ownership) -> Iterator[Entry]:
    """Yield the folders that --parents keeps, as they are in the source."""
    seen = set[str]()
    for one in selection.chosen:
        parts = one.kept.split("/") if one.kept not in ("", ".") else []
        base = one.path[: len(one.path) - len(one.kept)].rstrip("/") if one.is_folder else ""
        if not one.is_folder:
            base = posixpath.dirname(one.path)[: -len(one.kept) or None].rstrip("/")
        for depth in range(1, len(parts) + (0 if one.is_folder else 1)):
            kept = "/".join(parts[:depth])
            if kept in seen:
                continue
            seen.add(kept)
            folder = openat2(
                selection.root, posixpath.join(base, kept), OPEN_FOLDER & ~os.O_NOFOLLOW
            )
            try:
                status = os.fstat(folder)
                ids = ownership.from_disk(status.st_uid, status.st_gid, folder)
            finally:
                os.close(folder)
            mode = stat.S_IMODE(status.st_mode)
            name = os.fsencode(kept)
            yield Entry(name, FOLDER, mode, *ids, status.st_mtime_ns, b"", 0, 0)
