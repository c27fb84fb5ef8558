"""Where COPY and ADD put things: into a step's root, through the kernel's eyes.

The step's root is mounted for one thread (`layers/view`), its paths are resolved with it as `/`,
and what is copied goes through the one way in that archives have (`layers/untar`).
"""

import asyncio
import os
import posixpath
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ipycontainer_runtime.engine.building.layering import Delta
from ipycontainer_runtime.engine.building.modes import Mode
from ipycontainer_runtime.engine.building.sources import Selection, given_away, parent_entries
from ipycontainer_runtime.errors import ContainerError, Corrupt, InvalidParameter, Unavailable
from ipycontainer_runtime.launch.root import LaunchError
from ipycontainer_runtime.launch.syscalls import openat2
from ipycontainer_runtime.launch.user import find_user
from ipycontainer_runtime.layers.bounds import inflated
from ipycontainer_runtime.layers.compression import inflate
from ipycontainer_runtime.layers.copying import CopyIn, LiveFiles
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pack import Packing
from ipycontainer_runtime.layers.pipe import Feed, Work
from ipycontainer_runtime.layers.tarread import (
    DEFAULT_LIMITS,
    FOLDER,
    REGULAR,
    SYMLINK,
    Entry,
    TarReader,
)
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.layers.untar import unpack
from ipycontainer_runtime.layers.view import Source, View
from ipycontainer_runtime.store.blobs import disk_error

_T = TypeVar("_T")


@dataclass(frozen=True)
class Destination:
    """Where a step's files go, and whose they become."""

    path: str
    """Absolute, with a final `/` where a folder is meant."""
    owner: str = ""
    """USER[:GROUP] of the image; empty for root, or for what `keeps` says."""
    mode: Mode | None = None
    epoch: int | None = None
    """SOURCE_DATE_EPOCH: the time of what is made here."""
    keeps: bool = False
    """Whether files that come from another stage or image stay whose they were."""

    @property
    def now(self) -> int:
        """The time of what is made here, in nanoseconds."""
        return time.time_ns() if self.epoch is None else self.epoch * 1_000_000_000


async def in_view(delta: Delta, function: Callable[[View], _T], stop: Callable[[], None]) -> _T:
    """Call `function` on a thread with a step's root mounted, and return its result.

    `stop` is called when nobody waits any more. Errors of the kernel and the launcher become ours.
    """
    loop = asyncio.get_running_loop()
    mounted: asyncio.Future[None] = loop.create_future()
    results: list[_T] = []

    def told() -> None:
        if not mounted.done():
            mounted.set_result(None)

    def run() -> None:
        try:
            with _ours(), View(Source(delta.at, mounts, ())) as view:
                loop.call_soon_threadsafe(told)
                results.append(function(view))
        finally:
            loop.call_soon_threadsafe(told)

    async with delta.layering.still():
        mounts = delta.mounts(points=False)
        work = Work("copy", run)
        try:
            await asyncio.shield(mounted)
        except BaseException:
            await _ended(work, stop)
            raise
    try:
        await asyncio.to_thread(work.result)
    finally:
        await _ended(work, stop)
    return results[0]


async def _ended(work: Work, stop: Callable[[], None]) -> None:
    stop()
    await asyncio.shield(asyncio.to_thread(work.join))


class _ours:  # noqa: N801 - used as contextlib's lower-case managers are
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LaunchError | Corrupt):
            raise InvalidParameter(str(error)) from error
        if isinstance(error, OSError):
            raise disk_error(error, "cannot write the step's files") from error


async def place(delta: Delta, content: Callable[[View], "Placed"]) -> None:
    """Put what `content` gives into a step's root."""
    feed = Feed()

    def run(view: View) -> None:
        placed = content(view)
        packing = Work("tar", lambda: _write(feed, placed))
        try:
            ground = LiveFiles(b"", CopyIn("/"))
            unpack(feed, view.fd, delta.layering.ownership, ground, DEFAULT_LIMITS)
        finally:
            feed.stop()
            packing.join()
        packing.result()

    await in_view(delta, run, feed.stop)


Placed = Callable[[TarWriter], None]
"""Writes an archive whose names are relative to the root."""


def _write(feed: Feed, placed: Placed) -> None:
    try:
        tar = TarWriter(feed.put)
        placed(tar)
        tar.close()
    finally:
        feed.end()


def copied(
    view: View,
    destination: Destination,
    selection: Selection,
    ownership: Ownership,
    *,
    several: bool,
) -> Placed:
    """Return what COPY writes of a selection; `ownership` is that of the source's files.

    `several` says that there is more than this, so that the destination is a folder.
    """
    given = owner_ids(view, destination.owner)
    ids = given or (0, 0)
    target = Target(view, destination, several=several)
    into = target.is_folder or any(one.kept for one in selection.chosen)
    if not into and any(one.is_folder for one in selection.chosen):
        _refuse_file(view, target.base)
    epoch = destination.epoch

    def adjust(entry: Entry) -> None:
        if given is not None or not destination.keeps:
            entry.uid, entry.gid = ids
        if not destination.keeps:
            given_away(entry)
        if destination.mode is not None and entry.type != SYMLINK:
            entry.mode = destination.mode.of(entry.mode, folder=entry.type == FOLDER)
        if epoch is not None:
            entry.mtime = min(entry.mtime, epoch * 1_000_000_000)

    def write(tar: TarWriter) -> None:
        folder = into or any(one.is_folder for one in selection.chosen)
        for entry in target.missing(destination, ids, itself=folder):
            tar.entry(entry)
        for entry in parent_entries(selection, ownership):
            entry.name = os.fsencode(posixpath.join(target.base, os.fsdecode(entry.name)))
            if given is not None or not destination.keeps:
                entry.uid, entry.gid = ids
            tar.entry(entry)
        packing = Packing(tar, ownership, adjust)
        for one in selection.chosen:
            at = target.base
            if one.kept not in ("", "."):
                at = posixpath.join(at, one.kept)
            if not one.is_folder and into:
                at = posixpath.join(at, one.name)
            for node in selection.nodes(one, at):
                if node.path:
                    packing.add(node)

    return write


def extracted(view: View, destination: Destination, chunks: Iterable[bytes]) -> Placed:
    """Return what ADD writes of an archive: it is unpacked into the destination, a folder."""
    ids = owner_ids(view, destination.owner)
    target = Target(view, destination, several=True)

    def write(tar: TarWriter) -> None:
        for entry in target.missing(replace(destination, mode=None), ids or (0, 0), itself=True):
            tar.entry(entry)
        reader = TarReader(inflated(chunks, DEFAULT_LIMITS, "archive"), DEFAULT_LIMITS)
        for entry in reader.entries():
            name = os.fsdecode(entry.name)
            if ".." in name.split("/"):
                raise Corrupt(f"the archive has the path {name[:200]!r}, which leads out of it")
            clean = posixpath.normpath(name.lstrip("/"))
            if clean == ".":
                continue
            entry.name = os.fsencode(posixpath.join(target.base, clean))
            if entry.link and entry.type == b"1":
                link = posixpath.normpath("/" + os.fsdecode(entry.link)).lstrip("/")
                entry.link = os.fsencode(posixpath.join(target.base, link))
            if ids is not None:
                entry.uid, entry.gid = ids
            if destination.epoch is not None:
                entry.mtime = min(entry.mtime, destination.epoch * 1_000_000_000)
            sparse = entry.holes if entry.type == REGULAR else None
            if sparse is not None:
                entry.stored = sum(length for _, length in sparse)
            tar.entry(entry, sparse)
            if entry.type == REGULAR:
                for piece in reader.content():
                    tar.content(bytes(piece))
                tar.end_content(entry.stored)

    return write


def owner_ids(view: View, owner: str) -> tuple[int, int] | None:
    """Return the ids that --chown names in the image; None for none.

    One number stands for the group too, and so does a name that is a group's (Docker's reference).
    """
    if not owner:
        return None
    user, colon, group = owner.partition(":")
    if not colon and user.isdigit():
        return find_user(f"{user}:{user}", root=view.at)[:2]
    if colon and not group:
        owner = user
    return find_user(owner, root=view.at)[:2]


class Target:
    """The place in a root that a destination means, its symlinks followed inside the root."""

    def __init__(self, view: View, destination: Destination, *, several: bool) -> None:
        path = destination.path
        wants_folder = path.endswith("/")
        clean = _followed(view, posixpath.normpath(path))
        self._missing: list[str] = []
        self.is_folder = wants_folder or several or _is_folder(view, clean)
        folder = clean if self.is_folder else posixpath.dirname(clean)
        names: list[str] = [] if self.is_folder else [posixpath.basename(clean)]
        while True:
            try:
                descriptor = view.folder(folder)
                break
            except FileNotFoundError:
                folder, name = posixpath.split(folder)
                names.insert(0, name)
            except NotADirectoryError as error:
                raise InvalidParameter(
                    f"cannot copy to {clean}: {folder} is not a folder in the image"
                ) from error
        try:
            real = view.name(descriptor).strip("/")
        finally:
            os.close(descriptor)
        self.base = "/".join(filter(None, (real, *names)))
        """The folder that things go into, or the file that one becomes, relative to the root."""
        made = real
        for name in names if self.is_folder else names[:-1]:
            made = f"{made}/{name}" if made else name
            self._missing.append(made)

    @property
    def makes(self) -> bool:
        """Whether a folder has to be made for it."""
        return bool(self._missing)

    def missing(
        self, destination: Destination, ids: tuple[int, int], *, itself: bool
    ) -> Iterator[Entry]:
        """Yield the folders that have to be made, `itself` with the destination as one."""
        paths = list(self._missing)
        if itself and not self.is_folder:
            paths.append(self.base)
        mode = 0o755 if destination.mode is None else destination.mode.of(0o755, folder=True)
        for path in paths:
            name = os.fsencode(path) + b"/"
            yield Entry(name, FOLDER, mode, *ids, destination.now, b"", 0, 0)


def _followed(view: View, path: str) -> str:
    """Return where a file's path leads when it is a symlink that leads to something."""
    try:
        descriptor = openat2(view.fd, path, os.O_PATH)
    except OSError:
        return path
    try:
        return "/" + view.name(descriptor).strip("/")
    finally:
        os.close(descriptor)


def _refuse_file(view: View, path: str) -> None:
    """Refuse to put a folder's contents where a file is."""
    try:
        os.close(openat2(view.fd, path, os.O_PATH))
    except OSError:
        return
    raise InvalidParameter(f"cannot copy to non-directory: /{path}: name another destination")


def _is_folder(view: View, path: str) -> bool:
    try:
        os.close(view.folder(path))
    except OSError:
        return False
    return True


async def open_root(delta: Delta) -> int:
    """Mount a stack for reading, and return its root.

    The mount is in no namespace any more, and lives as long as the descriptor.
    """
    opened: list[int] = []

    def keep(view: View) -> None:
        opened.append(os.dup(view.fd))

    try:
        await in_view(delta, keep, lambda: None)
    except BaseException:  # cancelled, once it was open
        for root in opened:
            os.close(root)
        raise
    return opened[0]


async def make_folder(delta: Delta, destination: Destination) -> None:
    """Make WORKDIR's folder, and those above it, where they are missing."""

    def content(view: View) -> Placed:
        target = Target(view, destination, several=True)
        ids = (target.makes and owner_ids(view, destination.owner)) or (0, 0)

        def write(tar: TarWriter) -> None:
            for entry in target.missing(destination, ids, itself=True):
                tar.entry(entry)

        return write

    await place(delta, content)


def is_archive(file: Path) -> bool:
    """Tell whether ADD unpacks a file: a tar, plain or compressed in a way that can be read."""
    try:
        with file.open("rb") as opened:
            chunks = inflate(iter(lambda: opened.read(1 << 16), b""))
            return next(TarReader(chunks).entries(), None) is not None
    except ContainerError:
        return False
    except OSError as error:
        raise Unavailable(f"cannot read {file.name}: {error.strerror}") from error
