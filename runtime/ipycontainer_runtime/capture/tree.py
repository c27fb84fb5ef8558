"""The paths of an image in the making, each at the place where the host has it."""

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST_LINKS = 40  # what the kernel follows in one path before ELOOP


class Entry(NamedTuple):
    """One path of the image: a folder, a file of the host, a symlink, or a file of ours."""

    path: str
    mode: int
    kind: int
    """stat.S_IFDIR, S_IFREG or S_IFLNK."""
    link: str = ""
    content: bytes | None = None


class Tree:
    """A set of paths that is complete: each one's folders, and the symlinks on the way to it.

    Modes are made plain (755 and 644: nobody but the owner writes, everybody reads, no setuid), as
    an image's user is seldom the one who owned the files on the host.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, each after its folder."""
        return iter(sorted(self._entries.values()))

    def files(self) -> list[str]:
        """Return the host's files that are in it."""
        found = self._entries.values()
        return [e.path for e in found if e.kind == stat.S_IFREG and e.content is None]

    def size(self) -> int:
        """Return the bytes of the host's files that are in it, as far as they can be seen."""
        return sum(os.stat(path).st_size for path in self.files() if os.path.exists(path))

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
                target = os.readlink(here)
                self._entries[here] = Entry(here, 0o777, stat.S_IFLNK, target)
                rest = [p for p in target.split("/") if p] + rest
                done = "/" if target.startswith("/") else done
            else:
                self._record(here, found)
                done = here
        return done

    def add_folder(self, path: str, skip: Callable[[str, bool], bool]) -> None:
        """Add a folder and all below it, but for what `skip(path, is_folder)` leaves out.

        Symlinks in it are kept and not followed: what they name may be somebody's secret.
        """
        real = self.add(path)
        pending = [real] if real else []
        while pending:
            try:
                children = list(os.scandir(pending.pop()))
            except OSError:
                continue  # a folder that this user may not read is not part of the environment
            for child in children:
                folder = child.is_dir(follow_symlinks=False)
                if skip(child.path, folder):
                    continue
                if child.is_symlink():
                    link = os.readlink(child.path)
                    self._entries[child.path] = Entry(child.path, 0o777, stat.S_IFLNK, link)
                    continue
                self._record(child.path, child.stat(follow_symlinks=False))
                if folder:
                    pending.append(child.path)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """Add an empty folder of the image's own."""
        self._entries[path] = Entry(path, mode, stat.S_IFDIR)

    def make_file(self, path: str, content: str) -> None:
        """Add a file of the image's own."""
        self.add(os.path.dirname(path))
        self._entries[path] = Entry(path, 0o644, stat.S_IFREG, content=content.encode())

    def make_link(self, path: str, target: str) -> None:
        """Add a symlink of the image's own, where the host has nothing in that place."""
        self._entries.setdefault(path, Entry(path, 0o777, stat.S_IFLNK, target))

    def _record(self, path: str, found: os.stat_result) -> None:
        if stat.S_ISDIR(found.st_mode):
            self._entries.setdefault(path, Entry(path, 0o755, stat.S_IFDIR))
        elif stat.S_ISREG(found.st_mode):
            mode = 0o755 if found.st_mode & 0o111 else 0o644
            self._entries.setdefault(path, Entry(path, mode, stat.S_IFREG))
