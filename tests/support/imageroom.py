"""The image half of an engine, for tests."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage
from ipycontainer_runtime.engine.images import Images, Use
from ipycontainer_runtime.engine.loading import Loads
from ipycontainer_runtime.engine.pull import Pulls
from ipycontainer_runtime.engine.push import Pushes
from ipycontainer_runtime.engine.saving import Saves
from ipycontainer_runtime.engine.unpacking import Stores
from ipycontainer_runtime.layers.ownership import Mapped
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore


class Room:
    """The image half of an engine on a fresh data root; `uses` are containers by image id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._loop = asyncio.new_event_loop()
        self.blobs = BlobStore(root)
        self.store = ImageStore(root, self.blobs)
        self.layers = LayerStore(root)
        self.events = Events()
        self.activity = Activity()
        self.uses: dict[str, list[Use]] = {}
        self.held: set[str] = set()
        self.garbage = Garbage(
            blobs=self.blobs,
            layers=self.layers,
            image_store=self.store,
            pulled=lambda: self.pulls.blobs,
            held=lambda: self.held,
            background=self.activity.background,
        )
        self.loads = Loads(
            stores=Stores(self.blobs, self.layers, Mapped()),
            image_store=self.store,
            garbage=self.garbage,
            events=self.events,
        )
        self.saves = Saves(
            blobs=self.blobs, image_store=self.store, garbage=self.garbage, events=self.events
        )
        self.pulls = Pulls(
            blobs=self.blobs,
            image_store=self.store,
            layers=self.layers,
            ownership=Mapped(),
            events=self.events,
            held=lambda: {*self.held, *self.garbage.layers},
            kept=lambda: self.garbage.blobs,
        )
        self.pushes = Pushes(blobs=self.blobs, image_store=self.store, events=self.events)
        self.images = Images(
            image_store=self.store,
            layers=self.layers,
            events=self.events,
            in_use=lambda image: self.uses.get(image, []),
            held=lambda: {*self.held, *self.pulls.layers, *self.garbage.layers},
            kept=lambda: self.garbage.blobs,
            background=self.activity.background,
        )

    async def pull(self, name: str, platform: str | None = None) -> list[dict[str, Any]]:
        """Pull to the end and return every message."""
        async with aclosing(self.pulls.pull(name, platform)) as pulled:
            return [message async for message in pulled]

    async def push(self, name: str, tag: str | None = None) -> list[dict[str, Any]]:
        """Push to the end and return every message."""
        async with aclosing(self.pushes.push(name, tag)) as pushed:
            return [message async for message in pushed]

    async def load(
        self, archive: bytes, platform: str | None = None, *, quiet: bool = False
    ) -> list[dict[str, Any]]:
        """Load an archive to its end and return every message."""
        chosen = platforms.parse(platform) if platform else None
        async with self.loads.load() as load:
            for start in range(0, len(archive), 65536):
                await load.put(archive[start : start + 65536])
            return [message async for message in load.finish(chosen, quiet=quiet)]

    async def save(self, *names: str) -> bytes:
        """Return the archive of these images."""
        async with self.saves.save(names) as out:
            return b"".join([chunk async for chunk in out.chunks()])

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run on an event loop, as the engine does, until what it left in hand is done too."""

        async def whole() -> Any:
            try:
                return await work
            finally:
                await self.activity.settle(10)

        return self._loop.run_until_complete(whole())

    def close(self) -> None:
        """End the event loop and its threads."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    @property
    def content(self) -> set[str]:
        """Every file and folder of blobs, layers, and what is on its way to them."""
        places = ("images/blobs/sha256", "ingest", "layers", "trash")
        return {f"{p}/{entry.name}" for p in places for entry in (self.root / p).iterdir()}
