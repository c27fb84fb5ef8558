"""The folder that a build may copy from, sent as a tar archive while it is walked.

Nothing of it is held in memory but the piece that is on its way. As under `docker build` everything
belongs to root, times are whole seconds, and sockets are left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..failures import Failure
from ..units import counted, decimal_size

if TYPE_CHECKING:
    from ipycontainer_runtime.build.ignore import Ignore

_PIECE = 1 << 18
_LARGE = 100_000_000
IGNORE = ".dockerignore"


class Extra(NamedTuple):
    """A file that is sent though the folder does not have it so."""

    name: str
    data: bytes


class Sent:
    """What was sent so far."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self._below: Counter[str] = Counter()

    def add(self, name: str, size: int) -> None:
        """Count a file."""
        self.files += 1
        self.bytes += size
        self._below[name.partition("/")[0]] += size

    def told(self) -> str:
        """Say how much it was: `12 files, 3.4MB`."""
        return f"{counted(self.files, 'file')}, {decimal_size(self.bytes)}"

    def hint(self) -> str | None:
        """Say what to do about a context that is large, None where it is not."""
        if self.bytes < _LARGE:
            return None
        name, size = self._below.most_common(1)[0]
        return (
            f"the context is large: {decimal_size(size)} of its {decimal_size(self.bytes)} are "
            f"{name}; what the build does not need can be named in {IGNORE}"
        )


class Context:
    """The archive of a folder; without a folder it holds the extra files alone."""

    def __init__(
        self,
        folder: Path | None,
        rules: Ignore,
        *,
        kept: frozenset[str] = frozenset(),
        extras: tuple[Extra, ...] = (),
        told: Callable[[Sent], None] = lambda _sent: None,
    ) -> None:
        self._folder, self._rules, self._kept, self._told = folder, rules, kept, told
        self._extras = {extra.name: extra.data for extra in extras}
        self.sent = Sent()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the archive; raises `Failure` naming a file that cannot be read."""
        gathered = bytearray()
        for piece in self._pieces():
            gathered += piece
            if len(gathered) >= _PIECE:
                yield bytes(gathered)
                gathered.clear()
                self._told(self.sent)
        gathered += bytes(2 * tarfile.BLOCKSIZE)
        yield bytes(gathered)
        self._told(self.sent)

    def _pieces(self) -> Iterator[bytes]:
        for name, data in self._extras.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            yield _head(info)
            yield _padded(data)
        if self._folder is not None:
            try:
                yield from self._below(self._folder, "")
            except OSError as error:
                raise Failure(f"the context cannot be sent: {_why(error)}") from error

    def _below(self, folder: Path, prefix: str) -> Iterator[bytes]:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{prefix}{entry.name}"
            if name in self._extras:
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            excluded = name not in self._kept and self._rules.excludes(name)
            if not excluded:
                yield from self._entry(entry, name)
            if is_folder and not (excluded and self._prunes(name)):
                yield from self._below(Path(entry.path), f"{name}/")

    def _prunes(self, name: str) -> bool:
        """Whether to look no further: the Dockerfile is sent wherever it is."""
        inside = any(kept.startswith(f"{name}/") for kept in self._kept)
        return not (self._rules.lets_in or inside)

    def _entry(self, entry: os.DirEntry[str], name: str) -> Iterator[bytes]:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            yield from self._file(entry.path, name)
            return
        info = _info(name, found)
        if stat.S_ISLNK(found.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(entry.path)
        elif stat.S_ISDIR(found.st_mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISFIFO(found.st_mode):
            info.type = tarfile.FIFOTYPE
        else:
            return
        yield _head(info)

    def _file(self, path: str, name: str) -> Iterator[bytes]:
        with open(path, "rb", opener=_opened) as file:
            info = _info(name, os.fstat(file.fileno()))
            yield _head(info)
            left = info.size
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise Failure(f"{path} became shorter while it was sent: build again")
                left -= len(piece)
                yield piece
            yield _padding(info.size)
        self.sent.add(name, info.size)


def _opened(path: str, flags: int) -> int:
    # A file that became a link or a pipe meanwhile is not what was looked at. Windows has neither.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _info(name: str, found: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(found.st_mode)
    info.mtime = int(found.st_mtime)
    info.size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return info


def _head(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _padded(data: bytes) -> bytes:
    return data + _padding(len(data))


def _why(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def aside(dockerfile: bytes, ignore: bytes | None) -> tuple[str, tuple[Extra, ...]]:
    """Return what sends a Dockerfile that is not in the folder: its name there, and two files.

    `.dockerignore` names it, and itself if the folder has none, so that the engine takes both
    away before anything can be copied; that is how the `docker` command does it.
    """
    name = f".dockerfile.{hashlib.sha256(dockerfile).hexdigest()[:20]}"
    rules = IGNORE.encode() if ignore is None else ignore
    return name, (Extra(name, dockerfile), Extra(IGNORE, rules + f"\n{name}\n".encode()))
