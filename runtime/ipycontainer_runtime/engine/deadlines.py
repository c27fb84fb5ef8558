"""Containers that may run for so long only: stopped by the engine, whoever has left meanwhile."""

import asyncio
import time

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.annotations import timeout
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.engine.times import parse_rfc3339


class Deadlines:
    """Keeps a timer for each running container that has a timeout, and the engine up for it."""

    def __init__(self, activity: Activity, stopping: Stopping) -> None:
        self._activity = activity
        self._stopping = stopping
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def began(self, container: Container) -> None:
        """Set the timer; an adopted container's has run since its start."""
        seconds = timeout(container.record.host_config)
        if seconds is None:
            return
        ran = time.time() - parse_rfc3339(container.state.started_at) / 1e9
        self._activity.need(_why(container))
        self._timers[container.id] = asyncio.get_running_loop().call_later(
            max(seconds - ran, 0), self._expired, container
        )

    def ended(self, container: Container) -> None:
        """Forget the timer."""
        if timer := self._timers.pop(container.id, None):
            timer.cancel()
            self._activity.release(_why(container))

    def _expired(self, container: Container) -> None:
        container.timed_out = True
        self._activity.background(self._end(container), "stop a container whose time is up")

    async def _end(self, container: Container) -> None:
        await self._stopping.stop(container.id, None)


def _why(container: Container) -> str:
    return f"timeout of {container.id}"
