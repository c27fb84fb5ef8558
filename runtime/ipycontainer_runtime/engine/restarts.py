"""Restart policies: whether a container that ended is started again, and when."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.records import HostConfig, RestartPolicy

POLICIES = ("no", "always", "on-failure", "unless-stopped")

# Docker's: https://docs.docker.com/engine/containers/start-containers-automatically/ and the
# `--restart` section of `docker run`'s reference.
FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
LONG_ENOUGH = 10.0
"""Seconds of running after which the delays begin anew."""

StartAgain = Callable[[Container], Coroutine[Any, Any, None]]


def check_restart_policy(host: HostConfig) -> None:
    """Refuse a policy that Docker does not have, or one that means nothing here."""
    policy = host.restart_policy
    if policy.name and policy.name not in POLICIES:
        raise InvalidParameter(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count < 0:
        raise InvalidParameter(
            "invalid restart policy: maximum retry count cannot be negative: "
            f"{policy.maximum_retry_count}"
        )
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidParameter(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if host.auto_remove and restarts(policy):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")


def restarts(policy: RestartPolicy) -> bool:
    """Tell whether a policy ever starts anything."""
    return policy.name not in ("", "no")


class Restarts:
    """Waits out the delays between runs.

    Nobody else would start these containers again, so the engine stays up for them.
    """

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    def began(self, container: Container) -> None:
        """Watch a container whose policy may want it back."""
        if restarts(container.record.host_config.restart_policy):
            self._activity.need(_why(container))

    def ended(self, container: Container) -> None:
        """Let the engine go, unless the container is to start again."""
        if not container.state.restarting:
            self._activity.release(_why(container))

    def changed(self, container: Container) -> None:
        """Take a policy that was updated: it holds from the next end of the container on."""
        if container.state.active:
            self.began(container)
            if not restarts(container.record.host_config.restart_policy):
                self.ended(container)

    def wants(self, container: Container, code: int) -> bool:
        """Tell whether a container that ended with this code is to be started again.

        One that was stopped by hand stays so. Docker's `always` forgets that when its daemon is
        started; an engine that comes and goes with its clients must not.
        """
        policy, state = container.record.host_config.restart_policy, container.state
        if state.manually_stopped or container.restart_requests:
            return False
        if policy.name == "on-failure":
            most = policy.maximum_retry_count
            return code != 0 and (not most or state.restart_count < most)
        return restarts(policy)

    def later(self, container: Container, lasted: float, start: StartAgain) -> None:
        """Start a container again after its delay; it ran for `lasted` seconds."""
        if lasted >= LONG_ENOUGH or not container.delay:
            container.delay = FIRST_DELAY
        else:
            container.delay = min(container.delay * 2, LONGEST_DELAY)
        self._activity.need(_why(container))

        def begin() -> None:
            container.next_start = None
            self._activity.background(start(container), "start a container again")

        loop = asyncio.get_running_loop()
        container.next_start = loop.call_later(container.delay, begin)

    def cancel(self, container: Container) -> None:
        """Give up the next start, if one is due."""
        if container.next_start is not None:
            container.next_start.cancel()
            container.next_start = None
        self._activity.release(_why(container))


def _why(container: Container) -> str:
    return f"restart policy of {container.id}"
