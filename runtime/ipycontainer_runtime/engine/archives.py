"""Files out of containers and into them: a path's archive, export, an archive's unpacking.

All of it is done by a thread in a view of the container's files (layers/view.py). A container that
does not run is held by its lock meanwhile, since its root must not be mounted a second time.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.piped import Incoming, Outgoing, Put, incoming, outgoing
from ipycontainer_runtime.engine.spec import file_mounts
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.engine.users import ownership_of
from ipycontainer_runtime.engine.volumes.attaching import Attaching
from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.launch.root import LaunchError
from ipycontainer_runtime.launch.user import find_user
from ipycontainer_runtime.layers.compression import inflate
from ipycontainer_runtime.layers.copying import (
    CopyIn,
    PathStat,
    absolute,
    path_stat,
    read_archive,
    write_archive,
    write_export,
)
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pipe import Feed, Work
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.layers.view import Source, View
from ipycontainer_runtime.linux.grade import Grade

Described = Outgoing[PathStat | None]


class Extraction(NamedTuple):
    """What a client asks of an archive that it sends."""

    path: str
    keep_kinds: bool = False
    """Whether a folder may not become something else, nor something else a folder."""
    copy_ids: bool = False
    """Whether the files are to belong to the container's user."""


class Archives:
    """The copies of one engine."""

    def __init__(
        self,
        *,
        containers: Containers,
        snapshotter: Snapshotter,
        ownership: Ownership,
        attaching: Attaching,
        grade: Grade,
    ) -> None:
        self._attaching = attaching
        self._grade = grade
        self._containers = containers
        self._snapshotter = snapshotter
        self._ownership = ownership

    async def stat(self, reference: str, path: str) -> PathStat:
        """Return what a path of a container is; NotFound when it is not there."""
        container = self._containers.get(reference)
        described: Future[PathStat] = Future()

        def look(view: View) -> None:
            at = absolute(path)
            with _found(reference, path), view.find(at) as found:
                described.set_result(path_stat(view, at, found, rfc3339))

        async with self._source(container) as source:
            await _finished(Work("stat", lambda: _in_view(source, look)))
        return described.result()

    @contextlib.asynccontextmanager
    async def read(self, reference: str, path: str) -> AsyncIterator[Described]:
        """Give the archive of a path; NotFound when it is not there."""
        container = self._containers.get(reference)

        def pack(view: View, put: Put, said: "Future[PathStat | None]") -> None:
            at = absolute(path)
            with _found(reference, path), view.find(at) as found:
                stat = path_stat(view, at, found, rfc3339)
                said.set_result(stat)
                write_archive(found, stat.name, self._owners(container), put)

        async with self._source(container) as source, _outgoing(source, pack) as out:
            self._containers.publish(container, "archive-path")
            yield out

    @contextlib.asynccontextmanager
    async def export(self, reference: str) -> AsyncIterator[Described]:
        """Give the archive of a container's whole root, without what is mounted in it."""
        container = self._containers.get(reference)

        def pack(view: View, put: Put, said: "Future[PathStat | None]") -> None:
            said.set_result(None)
            write_export(view, self._owners(container), put)

        async with self._source(container, mounted=False) as source:
            async with _outgoing(source, pack) as out:
                self._containers.publish(container, "export")
                yield out

    @contextlib.asynccontextmanager
    async def write(self, reference: str, asked: Extraction) -> AsyncIterator[Incoming[None]]:
        """Take an archive, plain or compressed, and unpack it into a folder of a container."""
        container = self._containers.get(reference)

        def unpack(view: View, feed: Feed) -> None:
            with _found(reference, asked.path):
                self._unpack(view, container, asked, feed)

        async with self._source(container) as source:
            take = incoming(lambda feed: _in_view(source, lambda view: unpack(view, feed)))
            async with take as archive:
                yield archive
            if archive.whole:
                self._containers.publish(container, "extract-to-dir")

    def _unpack(self, view: View, container: Container, asked: Extraction, feed: Feed) -> None:
        user = container.record.config.user
        owner = find_user(user, root=view.at)[:2] if asked.copy_ids and user else None
        read_archive(
            view,
            CopyIn(absolute(asked.path), asked.keep_kinds, owner),
            self._owners(container),
            inflate(feed),
            readonly=container.record.host_config.readonly_rootfs,
        )

    def _owners(self, container: Container) -> Ownership:
        return ownership_of(container.record, self._ownership)

    @contextlib.asynccontextmanager
    async def _source(self, container: Container, *, mounted: bool = True) -> AsyncIterator[Source]:
        """Give what a container's view is made of; it does not start or go meanwhile.

        One that runs may end: what it had mounted is kept by its namespace's descriptor.
        """
        self._grade.check_files()
        async with contextlib.AsyncExitStack() as held:
            namespace = await _namespace(container)
            if namespace is None:
                await held.enter_async_context(container.lock)
                if container.removing:
                    raise NotFound(f"No such container: {container.id}")
                namespace = await _namespace(container)
            if namespace is not None:
                held.callback(os.close, namespace)
            volumes = {}
            if mounted:
                volumes = await held.enter_async_context(self._attaching.shown(container))
            yield await self._made_of(container, namespace, mounted, volumes)

    async def _made_of(
        self,
        container: Container,
        namespace: int | None,
        mounted: bool,
        volumes: Mapping[str, str],
    ) -> Source:
        record, folder = container.record, Path(container.folder)
        mounts, hidden = [], []
        if mounted:
            files = file_mounts(container.folder, record.host_config)
            mounts = [mount for mount in files if os.path.exists(mount.source)]
            placed = await self._attaching.place(
                record.mounts, volumes, mapped=record.ids is not None
            )
            mounts += [mount for mount in placed.mounts if mount.type in ("bind", "overlay")]
            hidden = placed.hidden
        rootfs = self._snapshotter.mounts(
            folder, record.chain, transient=record.host_config.auto_remove
        )
        ids = (record.ids.first, record.ids.count) if record.ids else None
        return Source(folder / "rootfs", rootfs, mounts, hidden, namespace, ids)


async def _namespace(container: Container) -> int | None:
    """Open a running container's mount namespace; None when it does not run."""
    shim, pid = container.shim, container.state.pid
    if shim is None or not container.state.running:
        return None
    try:
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # it has ended, and the news is on its way
    try:
        # What has not ended after the open was not another process at the open.
        if (await shim.status()).pid == pid and container.state.pid == pid:
            return namespace
    except Unavailable:
        pass  # its shim has gone, and it with that
    os.close(namespace)
    return None


def _outgoing(
    source: Source, pack: Callable[[View, Put, "Future[PathStat | None]"], None]
) -> contextlib.AbstractAsyncContextManager[Described]:
    return outgoing(lambda put, said: _in_view(source, lambda view: pack(view, put, said)))


async def _finished(work: Work) -> None:
    """Wait for a thread's end, also when nobody waits for its result any more."""
    try:
        await asyncio.to_thread(work.result)
    finally:
        await asyncio.to_thread(work.join)


def _in_view(source: Source, function: Callable[[View], None]) -> None:
    """Call `function` with a view; errors of the kernel and the launcher become ours."""
    try:
        with View(source) as view:
            function(view)
    except LaunchError as error:
        raise InvalidParameter(str(error)) from error
    except Corrupt as error:  # sent by the client, so its error
        raise InvalidParameter(str(error)) from error
    except OSError as error:
        raise Unavailable(f"cannot reach the container's files: {error}") from error


@contextlib.contextmanager
def _found(reference: str, path: str) -> Iterator[None]:
    """Say of a path that is not there what Docker says."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"Could not find the file {path} in container {reference}") from error
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise
        words = (error.strerror or "").lower()
        raise InvalidParameter(f"{path} in container {reference}: {words}") from error
