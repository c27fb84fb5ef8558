"""Health checks: a command run in the container now and then, and what its exits add up to.

What they count and when they turn is Docker's, see `healthcheck`.
"""

import asyncio
import time

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import ExecConfig, Execs
from ipycontainer_runtime.engine.healthcheck import probe_command
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.engine.times import human_duration, parse_rfc3339, rfc3339
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.oci.model import Healthcheck
from ipycontainer_runtime.store.records import Health, Probe

INTERVAL = TIMEOUT = 30.0
START_INTERVAL = 5.0
RETRIES = 3
KEPT_PROBES = 5
KEPT_OUTPUT = 4096
"""Bytes of a probe's output that inspect shows."""

_SECOND = 1_000_000_000


class HealthChecks:
    """Probes every running container that has a health check; the engine stays up for them."""

    def __init__(
        self, *, containers: Containers, execs: Execs, lifecycle: Lifecycle, activity: Activity
    ) -> None:
        self._containers = containers
        self._execs = execs
        self._lifecycle = lifecycle
        self._activity = activity
        self._monitors: dict[str, asyncio.Task[None]] = {}

    def began(self, container: Container) -> None:
        """Probe a container from now on."""
        config = container.record.config
        command = probe_command(config)
        if command is None or not config.healthcheck:
            return
        container.state.health = container.state.health or Health()
        self._activity.need(_why(container))
        monitor = _Monitor(container, config.healthcheck, command, self)
        self._monitors[container.id] = asyncio.ensure_future(monitor.run())

    def ended(self, container: Container) -> None:
        """Probe no more. What does not run is unhealthy, to Docker and its clients."""
        if monitor := self._monitors.pop(container.id, None):
            monitor.cancel()
            self._activity.release(_why(container))
            if container.state.health:
                container.state.health.status = "unhealthy"

    async def run(self, container: Container, command: list[str], seconds: float) -> Probe:
        """Run one probe to its end or its timeout."""
        start = time.time_ns()
        config = ExecConfig(attach_stdout=True, attach_stderr=True, cmd=command)
        try:
            code, output = await self._execs.capture(container, config, KEPT_OUTPUT, seconds)
        except (asyncio.TimeoutError, TimeoutError):
            lasted = human_duration(seconds) if seconds >= 1 else f"{seconds * 1000:g}ms"
            code, output = -1, f"Health check exceeded timeout ({lasted})"
        except ContainerError as error:
            code, output = -1, str(error)
        return Probe(
            start=rfc3339(start), end=rfc3339(time.time_ns()), exit_code=code, output=output
        )

    def told(self, container: Container, before: str) -> None:
        """Keep what a probe said, and tell of a change."""
        health = container.state.health
        if health is not None:
            self._lifecycle.save_soon(container)
            if health.status != before:
                self._containers.publish(container, f"health_status: {health.status}")


class _Monitor:
    """The probes of one run of a container."""

    def __init__(
        self, container: Container, check: Healthcheck, command: list[str], owner: HealthChecks
    ) -> None:
        self._container = container
        self._command = command
        self._owner = owner
        self._interval = check.interval / _SECOND or INTERVAL
        self._timeout = check.timeout / _SECOND or TIMEOUT
        self._start_period = check.start_period
        self._start_interval = check.start_interval / _SECOND or START_INTERVAL
        self._retries = check.retries or RETRIES
        self._started = parse_rfc3339(container.state.started_at)

    async def run(self) -> None:
        """Probe until cancelled; a paused container is left alone."""
        pause = self._first_pause()
        while True:
            await asyncio.sleep(pause)
            if not self._container.state.paused:
                await self._probe()
            pause = self._pause()

    async def _probe(self) -> None:
        began = time.time_ns()
        probe = await self._owner.run(self._container, self._command, self._timeout)
        if self._container.state.running:
            self._take(probe, in_start_period=began - self._started < self._start_period)

    def _first_pause(self) -> float:
        """Return what is left of the first interval, which begins as the container does.

        See HEALTHCHECK in https://docs.docker.com/reference/dockerfile/#healthcheck.
        """
        pause = self._pause()
        passed = (time.time_ns() - self._started) / _SECOND
        return pause - passed if 0 <= passed < pause else pause

    def _pause(self) -> float:
        health = self._container.state.health
        starting = health is not None and health.status == "starting"
        if starting and time.time_ns() - self._started < self._start_period:
            return self._start_interval
        return self._interval

    def _take(self, probe: Probe, *, in_start_period: bool) -> None:
        health = self._container.state.health
        assert health is not None, "set when the monitor began"
        before = health.status
        health.log = [*health.log, probe][-KEPT_PROBES:]
        if probe.exit_code == 0:
            health.failing_streak = 0
            health.status = "healthy"
        elif before != "starting" or not in_start_period:
            # Until a first success a failure in the start period says nothing.
            health.failing_streak += 1
            if health.failing_streak >= self._retries:
                health.status = "unhealthy"
        self._owner.told(self._container, before)


def _why(container: Container) -> str:
    return f"health check of {container.id}"
