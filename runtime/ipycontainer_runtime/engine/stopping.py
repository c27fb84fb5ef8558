"""Ending a container because somebody asked for it: stop, restart, kill, remove."""

import asyncio
import contextlib
import signal as signals
from collections.abc import Awaitable, Callable

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.engine.pausing import Pausing
from ipycontainer_runtime.engine.restarts import Restarts
from ipycontainer_runtime.engine.signals import signal_number
from ipycontainer_runtime.errors import Conflict, NotFound, Unavailable

STOP_TIMEOUT = 10
"""Seconds between a stop's signal and SIGKILL."""


class Stopping:
    """Ends containers, and keeps their restart policies from starting them again."""

    def __init__(
        self, *, containers: Containers, lifecycle: Lifecycle, pausing: Pausing, restarts: Restarts
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._pausing = pausing
        self._restarts = restarts

    async def stop(self, reference: str, timeout: int | None, signal: str = "") -> bool:
        """Signal a container, wait, then kill it; False when it does not run. -1 waits for ever."""
        container = self._containers.get(reference)
        if not container.state.running:
            return await self._stay_stopped(container, timeout, signal)
        config = container.record.config
        number = signal_number(signal or config.stop_signal or "", signals.SIGTERM)
        if timeout is None:
            timeout = config.stop_timeout if isinstance(config.stop_timeout, int) else STOP_TIMEOUT
        ended = container.exits.add()
        self._by_hand(container)
        await self._signal(container, number)
        try:
            await asyncio.wait_for(asyncio.shield(ended), None if timeout < 0 else timeout)
        except (asyncio.TimeoutError, TimeoutError):
            await self._signal(container, signals.SIGKILL)
            await ended
        await self._lifecycle.taken_back(container)
        self._containers.publish(container, "stop")
        return True

    async def _stay_stopped(self, container: Container, timeout: int | None, signal: str) -> bool:
        """Give up the next start of a container that is between two runs."""
        async with container.lock:  # a start that is under way has finished then
            if container.state.restarting:
                self._give_up_restart(container)
                self._containers.publish(container, "stop")
                return True
        return await self.stop(container.id, timeout, signal) if container.state.running else False

    def _give_up_restart(self, container: Container) -> None:
        self._restarts.cancel(container)
        container.state.status = "exited"
        self._by_hand(container)

    def _by_hand(self, container: Container) -> None:
        if not container.state.manually_stopped:
            container.state.manually_stopped = True
            self._lifecycle.save_soon(container)

    async def restart(
        self,
        reference: str,
        timeout: int | None,
        signal: str = "",
        *,
        between: Callable[[], Awaitable[None]] | None = None,
        start: bool = True,
    ) -> None:
        """Stop a container if it runs, and start it; one with `--rm` is not removed in between.

        `between` is called once it has ended; where that fails, or it is not to `start`, it stays
        as it is then.
        """
        container = self._containers.get(reference)
        container.restart_requests += 1
        if container.record.host_config.auto_remove:
            # The next engine, if this one is killed meanwhile, would take its end for good.
            container.state.restart_asked = True
            self._lifecycle.save_now(container)
        try:
            await self.stop(container.id, timeout, signal)
        finally:
            container.restart_requests -= 1
        if between is not None:
            await between()
        if start:
            await self._lifecycle.start(container.id)
            self._containers.publish(container, "restart")

    async def kill(self, reference: str, signal: str = "") -> None:
        """Send a signal; after SIGKILL return once the container has ended.

        SIGKILL and the container's stop signal end it for good, whatever its restart policy.
        """
        container = self._containers.get(reference)
        number = signal_number(signal, signals.SIGKILL)
        if not container.state.running:
            raise Conflict(
                f"Cannot kill container: {reference}: Container {container.id} is not running"
            )
        stop_signal = signal_number(container.record.config.stop_signal or "", signals.SIGTERM)
        if number in (signals.SIGKILL, stop_signal):
            self._by_hand(container)
        ended = container.exits.add()
        await self._signal(container, number)
        if number == signals.SIGKILL:
            await ended

    async def _signal(self, container: Container, number: int) -> None:
        if container.shim is None:
            return
        self._containers.publish(container, "kill", signal=str(number))
        while (shim := container.shim) is not None:
            try:
                # It may have ended a moment ago; its exit is on the way then.
                with contextlib.suppress(NotFound):
                    await shim.signal(number)
                break
            except Unavailable:  # the connection is broken; who waits for an end must have asked
                await self._lifecycle.reunited(container, shim)
        await self._pausing.let_go(container)

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; a running one only by force, which kills it first.

        With `volumes` its anonymous ones go too.
        """
        container = self._containers.get(reference)
        while not container.removing:
            if container.state.active and not force:
                raise Conflict(
                    f"You cannot remove a {container.state.shown} container {container.id}. Stop "
                    "the container before attempting removal or force remove"
                )
            if container.state.running:
                self._by_hand(container)
                ended = container.exits.add()
                await self._signal(container, signals.SIGKILL)
                await ended
            async with container.lock:  # a start that was under way has finished then
                if not container.state.running and not container.removing:
                    self._restarts.cancel(container)
                    self._containers.forget(container, volumes=volumes)
        await self._lifecycle.taken_back(container)
