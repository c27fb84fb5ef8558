"""A sandbox's files: read, written, listed and removed from the notebook."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..copying import Place, followed, get, is_folder, name_of, pack, put, unpack
from ..failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from ..session import Session
    from .commands import Completed

    Where = str | PurePath

P = ParamSpec("P")
T = TypeVar("T")
_LARGEST = 512 << 20


def _plainly(method: Callable[Concatenate[Files, P], T]) -> Callable[Concatenate[Files, P], T]:
    """Have foreign errors of a method told in a person's words."""

    @wraps(method)
    def told(self: Files, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._told():
            return method(self, *args, **kwargs)

    return told


class Files:
    """The files of a sandbox, by path; what is relative begins at its working directory."""

    def __init__(
        self,
        session: Session,
        container: str,
        base: str,
        run: Callable[[Sequence[str]], Completed],
        told: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._session = session
        self._container = container
        self._base = base
        self._run = run
        self._told = told

    @_plainly
    def read(self, path: Where) -> bytes:
        """Return a file's content, up to 512 MB."""
        place, found = self._found(path)
        if is_folder(found):
            raise Failure(f"{place.path} is a folder: list() it, or get() it to a local one")
        if found["size"] > _LARGEST:
            raise Failure(
                f"{place.path} has {found['size'] >> 20} MB, more than the {_LARGEST >> 20} that"
                " are read into memory: get() it to a local file"
            )
        archive: Any = _Bounded(get(self._session, place))
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            entry = tar.next()
            content = tar.extractfile(entry) if entry is not None and entry.isfile() else None
            if content is None:
                raise Failure(f"{place.path} is no file")
            return content.read()

    def read_text(self, path: Where) -> str:
        """Return a file's content as text."""
        return self.read(path).decode()

    @_plainly
    def write(self, path: Where, content: str | bytes) -> None:
        """Write a file; its folder is made if need be."""
        parent, name = posixpath.split(self.place(path).path)
        if not name:
            raise Failure(f"{str(path)!r} names no file")
        data = content.encode() if isinstance(content, str) else bytes(content)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(data), 0o644, int(time.time())
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(entry, io.BytesIO(data))
        archive.seek(0)
        self._send(parent, archive)

    @_plainly
    def exists(self, path: Where) -> bool:
        """Tell whether there is a file or folder."""
        return followed(self._session, self.place(path))[1] is not None

    @_plainly
    def is_dir(self, path: Where) -> bool:
        """Tell whether there is a folder."""
        found = followed(self._session, self.place(path))[1]
        return found is not None and is_folder(found)

    @_plainly
    def list(self, path: Where = ".") -> list[str]:
        """Return the names in a folder, sorted."""
        place, found = self._found(path)
        if not is_folder(found):
            raise Failure(f"{place.path} is a file, not a folder: read() it")
        search = ["find", f"{place.path}/.", "-mindepth", "1", "-maxdepth", "1", "-print0"]
        names = self._done(search, f"{place.path} cannot be listed").split(b"\0")
        return sorted(posixpath.basename(os.fsdecode(name)) for name in names if name)

    @_plainly
    def mkdir(self, path: Where) -> None:
        """Make a folder, and those above it; one that is there is kept."""
        where = self.place(path).path
        self._done(["mkdir", "-p", "--", where], f"{where} cannot be made")

    @_plainly
    def remove(self, path: Where) -> None:
        """Remove a file, or a folder with all that is in it; a link alone, not what it leads to."""
        self._found(path)
        where = self.place(path).path
        self._done(["rm", "-rf", "--", where], f"{where} cannot be removed")

    @_plainly
    def put(self, source: bytes | bytearray | str | PurePath, path: Where) -> None:
        """Copy bytes, or a file or folder of this computer, to a path."""
        if isinstance(source, (bytes, bytearray)):
            self.write(path, bytes(source))
            return
        here = Path(source).expanduser()
        if not here.exists():
            raise Failure(f"{here} is not there; to write text as a file, give bytes")
        target = self.place(path).path
        parent, name = posixpath.split(target)
        if str(path).endswith("/") or not name or self.is_dir(path):
            parent, name = target, here.resolve().name
        with pack(str(here), name, follow=True) as archive:
            self._send(parent, archive)

    @_plainly
    def get(self, path: Where, local: str | os.PathLike[str] | None = None) -> bytes | Path:
        """Return a file's content or, with `local`, copy a file or folder there."""
        if local is None:
            return self.read(path)
        place, found = self._found(path)
        target = Path(local).expanduser()
        name = name_of(place.path)
        if target.is_dir():
            target = target / (name or "root")
        elif not target.parent.is_dir():
            raise Failure(f"{target.parent} is no folder here")
        if is_folder(found):
            target.mkdir(exist_ok=True)
        unpack(get(self._session, place), name, target)
        return target

    def place(self, path: Where) -> Place:
        """Return the absolute place that a path means."""
        text = str(path)
        if not text or "\0" in text:
            raise Failure(f"{text!r} is no path")
        return Place(self._container, posixpath.normpath(posixpath.join(self._base, text)))

    def _found(self, path: Where) -> tuple[Place, dict[str, Any]]:
        place, found = followed(self._session, self.place(path))
        if found is None:
            raise Failure(f"{place.path} is not in the sandbox")
        return place, found

    def _send(self, folder: str, archive: IO[bytes]) -> None:
        if not self.exists(folder):
            self.mkdir(folder)
        put(self._session, Place(self._container, folder), archive, archive=False)

    def _done(self, command: Sequence[str], failed: str) -> bytes:
        done = self._run(command)
        if done.code:
            said = bytes(done.stderr) if isinstance(done.stderr, bytes) else done.stderr.encode()
            raise Failure(f"{failed}: {said.decode(errors='replace').strip()}")
        return done.stdout if isinstance(done.stdout, bytes) else done.stdout.encode()


class _Bounded:
    """A stream to be read from chunks, up to what is read into memory at once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""
        self._taken = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._taken += len(chunk)
            if self._taken > _LARGEST + (1 << 20):
                raise Failure("the file grows while it is read: get() it to a local file")
            self._left = chunk
        piece, self._left = self._left[:size], self._left[size:]
        return piece
