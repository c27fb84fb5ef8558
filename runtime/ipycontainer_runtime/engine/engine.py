"""The engine: every store and every use case, made once and handed to each other."""

import asyncio

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.system import Counts, System
from ipycontainer_runtime.paths import Paths


class Engine:
    """What the API serves. Made by `__main__` under the data root's lock, in a running loop."""

    def __init__(self, paths: Paths, *, rootless: bool = False) -> None:
        self.paths = paths
        self.rootless = rootless
        self.activity = Activity()
        self.leave = asyncio.Event()
        """Set when the engine is to stop."""
        self.events = Events()
        self.system = System(
            paths=paths,
            activity=self.activity,
            count=self._count,
            subscribers=self.events.subscribers,
            rootless=rootless,
        )

    def _count(self) -> Counts:
        return Counts()

    async def start(self) -> None:
        """Adopt what earlier engines left; called once, before the first request is read."""

    async def close(self) -> None:
        """Let go of shims and stores; containers run on."""
