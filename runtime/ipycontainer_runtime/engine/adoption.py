"""Taking a container over from the shim that keeps it.

Done by a new engine for what earlier ones started, and by any engine whose connection to a shim
has broken. A shim listens for as long as it lives: so whether it lives is asked of its socket, and
the end of a connection alone says nothing.
"""

import asyncio
import functools
import logging

import msgspec

from ipycontainer_runtime.engine.container import Container, Found
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import Execs
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import ShimStatus
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import State

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.1
"""Between two attempts while this process, or the shim, can open nothing more."""


class Adoption:
    """Connects to shims that have lost their engine; the container's lock is held by the caller."""

    def __init__(
        self, *, containers: Containers, lifecycle: Lifecycle, shims: Spawner, execs: Execs
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._shims = shims
        self._execs = execs

    async def adopt(self, container: Container) -> Found:
        """Connect to the container's shim and take its word.

        A shim that lets nobody in is leaving, or has run out of descriptors: it is asked until its
        socket has gone, or it answers.
        """
        while True:
            try:
                return await self._ask(container)
            except (Unavailable, OSError) as error:
                _log.info("the shim of container %s is asked again: %s", container.id, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _ask(self, container: Container) -> Found:
        shim = await self._shims.reconnect(
            container.id, functools.partial(self._lifecycle.on_event, container)
        )
        if shim is not None:
            return self._take(container, shim, await shim.status())
        # Read here, where it is tried again if this process can open nothing more.
        self._containers.store.exit_record(container.id)
        return Found.GONE

    def _take(self, container: Container, shim: ShimConnection, status: ShimStatus) -> Found:
        if not status.pid:
            shim.close()  # it leaves, since it was never started, or has just ended
            return Found.NEVER_STARTED
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
        self._execs.adopt(container, status.execs)
        self._lifecycle.take(container, shim)
        return Found.RUNNING
