"""What a new engine makes of the containers that earlier ones left."""

import functools
import logging
import time

import msgspec

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import Execs
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import ContainerError, Unavailable
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import State

_log = logging.getLogger(__name__)

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
        shims: Spawner,
        execs: Execs,
        activity: Activity,
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._stopping = stopping
        self._shims = shims
        self._activity = activity
        self._execs = execs

    async def recover(self) -> None:
        """Adopt what runs, take note of what ended, and start again what is to go on.

        A shim that answers means that its container runs, whatever state.json says: an engine that
        was killed may not have written it. An exit.json of another run than the state's is news.
        """
        for container in self._containers.all():
            await self._recover(container)

    async def _recover(self, container: Container) -> None:
        before = container.state
        begun = self._shims.left(container.id)
        container.restart_requests += before.restart_asked
        try:
            adopted = await self._adopt(container)
            if adopted:
                return
            written = self._containers.store.exit_record(container.id)
            if written is not None and written.started_at != container.state.started_at:
                container.state = State(
                    status="running",
                    started_at=written.started_at,
                    restart_count=container.state.restart_count,
                )
            elif begun and adopted is not None and written is None and not before.running:
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

    async def _adopt(self, container: Container) -> bool | None:
        """Connect to the container's shim and take its word; False when there is none.

        None when its shim was never told to start it.
        """
        shim = await self._shims.reconnect(
            container.id, functools.partial(self._lifecycle.on_event, container)
        )
        if shim is None:
            return False
        try:
            status = await shim.status()
        except Unavailable:
            return False  # it ended just now, and has written so
        if not status.pid:
            shim.close()  # it was never started, and leaves
            return None
        state = container.state
        if state.started_at == status.started_at:
            container.state = msgspec.structs.replace(state, status="running", pid=status.pid)
        else:
            self._lifecycle.save_soon(container)
            container.state = State(
                status="running",
                pid=status.pid,
                started_at=status.started_at,
                restart_count=state.restart_count,
            )
        container.cgroup = status.cgroup
        self._lifecycle.take(container, shim)
        self._execs.adopt(container, status.execs)
        return True
