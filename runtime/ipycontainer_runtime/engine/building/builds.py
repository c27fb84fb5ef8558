"""The builds of one engine: POST /build, and what it leaves for the next one."""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from ipycontainer_runtime.engine.building.cache import Cache
from ipycontainer_runtime.engine.building.failures import Refused, detail
from ipycontainer_runtime.engine.building.persistent import Persistent
from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.engine.building.sandbox import LENT, RUNNING, Machine
from ipycontainer_runtime.engine.building.telling import Message, Telling
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage
from ipycontainer_runtime.engine.pull import Pulls
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore
from ipycontainer_runtime.store.private import make_private

if TYPE_CHECKING:
    # What the first build imports: the language, and what fetches. An engine starts without.
    from ipycontainer_runtime.engine.building.build import Build
    from ipycontainer_runtime.engine.building.context import Context
    from ipycontainer_runtime.shim.messages import Event


_PATIENCE = 2.0
"""Seconds that a new engine waits for the end of steps that an earlier one left."""


class Builds:
    """Makes images of Dockerfiles; used on the engine's event loop."""

    def __init__(
        self,
        *,
        root: Path,
        machine: Machine,
        snapshotter: Snapshotter,
        ownership: Ownership,
        blobs: BlobStore,
        image_store: ImageStore,
        layers: LayerStore,
        garbage: Garbage,
        pulls: Pulls,
        events: Events,
        cache: Cache,
    ) -> None:
        self.machine = machine
        self.snapshotter = snapshotter
        self.ownership = ownership
        self.blobs = blobs
        self.image_store = image_store
        self.layers = layers
        self.garbage = garbage
        self.pulls = pulls
        self.events = events
        self.cache = cache
        self.persistent = Persistent(cache.mounts, layers.trash)
        self._folder = root / "build" / "running"
        self._active: set[Build] = set()

    @property
    def held_layers(self) -> set[str]:
        """The chain ids that must stay: builds in progress and the cache count on them."""
        return self.cache.layers.union(*(build.bases.held_layers for build in self._active))

    @property
    def held_blobs(self) -> set[str]:
        """The digests that must stay, for the same reasons."""
        return self.cache.blobs.union(*(build.bases.held_blobs for build in self._active))

    @contextlib.asynccontextmanager
    async def context(self) -> "AsyncIterator[Context]":
        """Give the place for a context that is about to arrive; all that its build had goes."""
        from ipycontainer_runtime.engine.building.context import Context

        self.machine.grade.check_containers()
        if not self._folder.exists():
            make_private(self._folder)
        folder = self._folder / secrets.token_hex(8) / "context"
        context = Context(folder, self.ownership)
        try:
            yield context
        finally:
            context.close()
            await asyncio.to_thread(context.join)
            self.layers.trash.discard(context.home)
            await asyncio.to_thread(self.layers.trash.empty)

    async def build(
        self, request: BuildRequest, context: "Context"
    ) -> AsyncGenerator[Message, None]:
        """Build, and yield what the client is told; nothing is raised once something was.

        An iteration that is given up ends what runs, and leaves nothing but what the cache has.
        """
        from ipycontainer_runtime.engine.building.build import Build

        telling = Telling()
        build = Build(self, request, context, telling)
        self._active.add(build)
        task = asyncio.create_task(build.run())
        task.add_done_callback(lambda _: telling.end())
        begun = False
        try:
            while (message := await telling.take()) is not None:
                begun = True
                yield message
            try:
                await task
            except ContainerError as error:
                if not begun and not request.steps:
                    raise Refused(error, build.text) from error
                yield detail(error, build.text, steps=request.steps)
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._active.discard(build)
            self.layers.trash.discard(context.home)

    async def recover(self) -> None:
        """End the steps of an engine that was killed, and let go of what its builds had."""
        if not self._folder.exists():
            return
        markers = self._folder.glob(f"*/*/{RUNNING}*")
        ends = [asyncio.ensure_future(self._end(m.name.removeprefix(RUNNING))) for m in markers]
        if ends:  # clients wait for this engine: a shim that does not answer is left to itself
            await asyncio.wait(ends, timeout=_PATIENCE)
        for left in self._folder.iterdir():
            self.layers.trash.discard(left)
        for left in self.machine.paths.run.glob(f"{LENT}*"):
            await asyncio.to_thread(shutil.rmtree, left)

    async def _end(self, identity: str) -> None:
        ended = asyncio.Event()

        def on_event(_event: "Event") -> None:
            ended.set()

        shim = await self.machine.shims.reconnect(identity, on_event)
        if shim is None:
            return
        shim.closed.add_done_callback(lambda _: ended.set())
        with contextlib.suppress(ContainerError):
            await shim.signal(9)
            await ended.wait()
        shim.close()
