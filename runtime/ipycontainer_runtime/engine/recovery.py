"""What a new engine makes of the containers that earlier ones left."""

import asyncio
import logging
import time

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.adoption import Adoption
from ipycontainer_runtime.engine.container import Container, Found
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import State

_log = logging.getLogger(__name__)

_PATIENCE = 2.0
"""Seconds after which the engine serves its clients though a shim lets nobody in."""

_LOST = 255
"""Exit code when nobody saw the exit: the shim was killed before this engine began."""


class Recovery:
    """Takes over containers that run, and exits that no engine saw; used once, at the start."""

    def __init__(
        self,
        *,
        containers: Containers,
        lifecycle: Lifecycle,
        stopping: Stopping,
        adoption: Adoption,
        shims: Spawner,
        activity: Activity,
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._stopping = stopping
        self._adoption = adoption
        self._shims = shims
        self._activity = activity

    async def recover(self) -> None:
        """Adopt what runs, take note of what ended, and start again what is to go on.

        A shim that answers means that its container runs, whatever state.json says: an engine that
        was killed may not have written it. An exit.json of another run than the state's is news.
        """
        recoveries = [self._recover_whole(container) for container in self._containers.all()]
        begun = [asyncio.ensure_future(recovery) for recovery in recoveries]
        if begun:
            await asyncio.wait(begun, timeout=_PATIENCE)
        for task in begun:
            self._activity.background(_outcome(task), "recover a container")

    async def _recover_whole(self, container: Container) -> None:
        async with container.lock:
            await self._recover(container)

    async def _recover(self, container: Container) -> None:
        before = container.state
        begun = self._shims.left(container.id)
        container.restart_requests += before.restart_asked
        try:
            found = await self._adoption.adopt(container)
            if found is Found.RUNNING:
                self._lifecycle.began(container)
                return
            written = self._containers.store.exit_record(container.id)
            if written is not None and written.started_at != container.state.started_at:
                container.state = State(
                    status="running",
                    started_at=written.started_at,
                    restart_count=container.state.restart_count,
                )
            elif begun and found is Found.GONE and written is None and not before.running:
                # Killed together with its engine, which had not written that it started.
                container.state = State(status="running", started_at=rfc3339(time.time_ns()))
            if container.state.running:
                exited = self._lifecycle.unseen_exit(container, _LOST)
                self._lifecycle.end(container, exited)
            elif container.state.status in ("exited", "restarting"):
                self._lifecycle.settle(container)
        finally:
            container.restart_requests -= before.restart_asked
            if before.restart_asked and container.state.started_at == before.started_at:
                self._activity.background(self._restart(container), "finish a restart")

    async def _restart(self, container: Container) -> None:
        """Do what an engine that was killed had promised."""
        try:
            await self._stopping.restart(container.id, None)
        except ContainerError as error:
            _log.warning("container %s was not restarted: %s", container.id, error)


async def _outcome(recovery: "asyncio.Future[None]") -> None:
    await recovery
