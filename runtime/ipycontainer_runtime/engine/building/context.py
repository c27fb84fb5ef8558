"""The build's context: the archive that a client sends, unpacked into a folder of the build's own.

It is unpacked as it arrives by the one way that archives have (`layers/untar`): entries stay below
the folder or are refused, and the whole of it is bounded.
"""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from ipycontainer_runtime.build import ignore
from ipycontainer_runtime.engine.building import bounds, git, remote
from ipycontainer_runtime.engine.building.placing import is_archive
from ipycontainer_runtime.errors import Corrupt, InvalidParameter
from ipycontainer_runtime.launch.syscalls import openat2
from ipycontainer_runtime.layers.bounds import TooLarge, inflated
from ipycontainer_runtime.layers.copying import CopyIn, LiveFiles
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pipe import Feed, Stopped, Work
from ipycontainer_runtime.layers.untar import unpack

_LONGEST_DOCKERFILE = 16 << 20
_IGNORE = ".dockerignore"


class Context:
    """A context that is arriving; `folder` is made, and goes with the build."""

    def __init__(self, folder: Path, ownership: Ownership) -> None:
        self.folder = folder
        self.home = folder.parent
        """The build's own folder."""
        self._ownership = ownership
        self._limits = bounds.limits()
        folder.mkdir(parents=True)
        self._feed = Feed()
        self._empty = True

        def arrive() -> None:
            try:
                self._unpack(self._feed)
            finally:
                self._feed.stop()

        self._work = Work("context", arrive)

    async def put(self, chunk: bytes) -> None:
        """Take the next bytes as they came; once the unpacking has failed they are let go."""
        self._empty = self._empty and not chunk
        with contextlib.suppress(Stopped):
            await asyncio.to_thread(self._feed.put, chunk)

    async def end(self) -> bool:
        """Wait until all of it is unpacked; False when nothing was sent."""
        self._feed.end()
        try:
            await asyncio.to_thread(self._work.result)
        except TooLarge as error:
            raise InvalidParameter(f"{error}: {bounds.cure()}") from error
        except Corrupt as error:
            raise InvalidParameter(f"the build context is no archive to unpack: {error}") from error
        return not self._empty

    def fetch(self, address: str) -> str | None:
        """Have a context that is elsewhere, on a thread; the text of a lone Dockerfile, or None.

        An address is a git repository's, or a URL of an archive or of a Dockerfile.
        """
        if git.is_git(address):
            self.folder = git.clone(address, self.folder)
            return None
        if not remote.is_remote(address):
            raise InvalidParameter(
                f"invalid remote {address!r}: a git repository or an http(s) URL is wanted"
            )
        folder = self.folder.parent / "fetched"
        folder.mkdir()
        file = folder / remote.download(address, folder)
        if not is_archive(file):
            if file.stat().st_size > _LONGEST_DOCKERFILE:
                raise InvalidParameter(f"{address} is neither an archive nor a Dockerfile")
            return file.read_text("utf-8", "replace")
        with file.open("rb") as opened:
            chunks = iter(lambda: opened.read(1 << 20), b"")
            self._unpack(chunks)
        return None

    def _unpack(self, chunks: Iterable[bytes]) -> None:
        """Unpack files, all as root's: this is no layer, and COPY gives them their owners."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            ground = LiveFiles(b"", CopyIn("/", owner=(0, 0)))
            plain = inflated(chunks, self._limits, "build context")
            unpack(plain, folder, self._ownership, ground, self._limits)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Give up what has not come yet."""
        self._feed.end()

    def join(self) -> None:
        """Wait until nothing is unpacked any more."""
        self._work.join()


def dockerfile(context: Path, name: str) -> str:
    """Return the text of a context's Dockerfile, by its name relative to the context."""
    root = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _read(root, name)
        if found is None and name == "Dockerfile":
            found = _read(root, "dockerfile")
    finally:
        os.close(root)
    if found is None:
        raise InvalidParameter(f"Cannot locate specified Dockerfile: {name}")
    if not found.strip():
        raise InvalidParameter(f"the Dockerfile ({name}) cannot be empty: begin with FROM")
    return found


def take_away(context: Path, name: str) -> None:
    """Remove the Dockerfile and `.dockerignore` where the latter leaves them out.

    Clients send both all the same; so a Dockerfile travels that is in no folder, and is not copied.
    """
    root = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rules = ignore.Ignore(_read(root, _IGNORE) or "")
        for one in (name, _IGNORE):
            path = os.path.normpath(one)
            if rules.excludes(path):
                _unlink(root, path)
    finally:
        os.close(root)


def _unlink(root: int, path: str) -> None:
    folder, leaf = os.path.split(path)
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        parent = openat2(root, folder or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.unlink(leaf, dir_fd=parent)
        finally:
            os.close(parent)


def _read(root: int, name: str) -> str | None:
    try:
        file = openat2(root, name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        content = opened.read(_LONGEST_DOCKERFILE + 1)
    if len(content) > _LONGEST_DOCKERFILE:
        raise InvalidParameter(f"{name} has more than {_LONGEST_DOCKERFILE} bytes: COPY the rest")
    return content.decode("utf-8", "replace")


def leave_out(context: Path, name: str) -> None:
    """Remove what `.dockerignore` leaves out of a fetched context; clients do it themselves."""
    root = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        texts = (_read(root, file) for file in ignore.ignore_file(name))
        text = next((text for text in texts if text is not None), "")
    finally:
        os.close(root)
    if not text.strip():
        return
    rules = ignore.Ignore(text)
    for folder, folders, files in os.walk(context):
        below = os.path.relpath(folder, context)
        for leaf in [*folders, *files]:
            path = leaf if below == "." else f"{below}/{leaf}"
            if not rules.excludes(path):
                continue
            whole = os.path.join(folder, leaf)
            if leaf not in folders or os.path.islink(whole):
                os.unlink(whole)
            elif not rules.lets_in:
                shutil.rmtree(whole)
                folders.remove(leaf)
