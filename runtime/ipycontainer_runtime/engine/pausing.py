"""Pause and unpause: every process of a container held still by the freezer, and let go on."""

import asyncio

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container, not_running
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.errors import Conflict


class Pausing:
    """Holds containers still. A signal sent meanwhile is taken once the container goes on."""

    def __init__(self, *, containers: Containers, cgroups: Cgroups) -> None:
        self._containers = containers
        self._cgroups = cgroups

    async def pause(self, reference: str) -> None:
        """Hold a running container still.

        Raises Conflict when it does not run or is paused, Unavailable where nothing can freeze.
        """
        container = self._containers.get(reference)
        async with container.lock:
            if not container.state.running:
                raise not_running(container)
            if container.state.paused:
                raise Conflict(f"Container {container.id} is already paused")
            # Written down first: an engine that ends in between leaves what can be unpaused.
            self._save(container, paused=True)
            try:
                await asyncio.to_thread(self._cgroups.freeze, container.cgroup)
            except BaseException:
                self._save(container, paused=False)
                raise
            self._containers.publish(container, "pause")

    async def unpause(self, reference: str) -> None:
        """Let a paused container go on; raises Conflict when it is not paused."""
        container = self._containers.get(reference)
        async with container.lock:
            if not container.state.paused:
                raise Conflict(f"Container {container.id} is not paused")
            await self._thaw(container)

    async def let_go(self, container: Container) -> None:
        """Let a container go on, if it is paused, so that it takes the signal that was sent."""
        if container.state.paused:
            await self._thaw(container)

    async def _thaw(self, container: Container) -> None:
        await asyncio.to_thread(self._cgroups.thaw, container.cgroup)
        self._save(container, paused=False)
        self._containers.publish(container, "unpause")

    def _save(self, container: Container, *, paused: bool) -> None:
        container.state.paused = paused
        self._containers.store.save_state(container.id, container.state)
