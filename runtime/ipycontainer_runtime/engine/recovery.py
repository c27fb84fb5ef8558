"""What a new engine makes of the containers that earlier ones left."""

import functools

import msgspec

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import Execs
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import State

_LOST = 255
"""Exit code when nobody saw the exit: the shim was killed before this engine began."""


class Recovery:
    """Takes over containers that run, and exits that no engine saw; used once, at the start."""

    def __init__(
        self, *, containers: Containers, lifecycle: Lifecycle, shims: Spawner, execs: Execs
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._shims = shims
        self._execs = execs

    async def recover(self) -> None:
        """Adopt what runs, take note of what ended, and start again what is to go on.

        A shim that answers means that its container runs, whatever state.json says: an engine that
        was killed may not have written it. An exit.json of another run than the state's is news.
        """
        for container in self._containers.all():
            written = self._containers.store.exit_record(container.id)
            if await self._adopt(container):
                continue
            if written is not None and written.started_at != container.state.started_at:
                container.state = State(
                    status="running",
                    started_at=written.started_at,
                    restart_count=container.state.restart_count,
                )
            if container.state.running:
                exited = self._lifecycle.unseen_exit(container, _LOST)
                self._lifecycle.end(container, exited)
            elif container.state.status in ("exited", "restarting"):
                self._lifecycle.settle(container)

    async def _adopt(self, container: Container) -> bool:
        """Connect to the container's shim and take its word; False when there is none."""
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
            return False
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
