"""Update: other limits, or another restart policy, for a container that is there.

What Docker's `update` takes and no more. The limits bind at once where the container runs, and at
each later start; its record keeps them.
"""

import contextlib
from typing import Any

import msgspec

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.create import decoded
from ipycontainer_runtime.engine.resources import check_values, limits
from ipycontainer_runtime.engine.restarts import Restarts, check_restart_policy, restarts
from ipycontainer_runtime.engine.unsupported import refuse_unsupported
from ipycontainer_runtime.errors import Conflict, InvalidParameter
from ipycontainer_runtime.store.records import HostConfig, RestartPolicy, api_name

_LIMITS = (
    *("cpu_shares", "nano_cpus", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems"),
    "blkio_weight",
    *("memory", "memory_swap", "memory_reservation"),
)
_FIELDS = (*_LIMITS, "pids_limit", "restart_policy")


class UpdateBody(HostConfig, kw_only=True, rename="pascal"):
    """The body of POST /containers/{id}/update: a field that is empty is left as it was."""

    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy)


def parse_update(raw: bytes) -> UpdateBody:
    """Decode an update, refusing by name what is set at creation only."""
    asked = decoded(raw, UpdateBody)
    refuse_unsupported(asked)
    usual = UpdateBody()
    for name in msgspec.structs.asdict(usual):
        value = getattr(asked, name)
        if name not in _FIELDS and value and value != getattr(usual, name):
            raise InvalidParameter(
                f"HostConfig.{api_name(name)} cannot be updated: leave it out, "
                "or create the container anew"
            )
    return asked


class Updating:
    """Changes the limits and the restart policy of containers."""

    def __init__(self, *, containers: Containers, restarts: Restarts) -> None:
        self._containers = containers
        self._restarts = restarts

    async def update(self, reference: str, asked: UpdateBody) -> list[str]:
        """Change a container and return what to say of limits that cannot bind here.

        Raises InvalidParameter for values that cannot be, Conflict for those that do not go with
        what the container has or uses now; both leave it as it was.
        """
        container = self._containers.get(reference)
        check_values(asked)
        check_restart_policy(asked)
        async with container.lock:
            try:
                host = _updated(container, asked)
                unbound = self._containers.unbound(host, asked)
                await self._apply(container, host)
            except Conflict as error:
                raise Conflict(f"Cannot update container {container.id}: {error}") from error
            container.record.host_config = host
            self._containers.store.save(container.record)
            self._restarts.changed(container)
        self._containers.publish(container, "update")
        return unbound

    async def _apply(self, container: Container, host: HostConfig) -> None:
        """Bind the limits of a container that runs; all of the former ones if one is refused."""
        former, wanted = limits(container.record.host_config), limits(host)
        if container.shim is None or not container.state.running or former == wanted:
            return
        try:
            # The shim knows how many processes of its own are in the cgroup.
            await container.shim.limit(wanted)
        except Conflict:
            with contextlib.suppress(Conflict):
                await container.shim.limit(former)
            raise


def _updated(container: Container, asked: UpdateBody) -> HostConfig:
    """Return what the container's configuration becomes."""
    if container.removing:
        raise Conflict('container is marked for removal and cannot be "update"')
    host = container.record.host_config
    _refuse_conflicts(host, asked)
    changes: dict[str, Any] = {n: getattr(asked, n) for n in _LIMITS if getattr(asked, n)}
    if asked.pids_limit is not None:
        # Both 0 and -1 say "no limit" here, and unlike at creation one may have to be lifted.
        changes["pids_limit"] = asked.pids_limit if asked.pids_limit > 0 else -1
    if asked.restart_policy.name:
        if host.auto_remove and restarts(asked.restart_policy):
            raise Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        changes["restart_policy"] = asked.restart_policy
    return msgspec.structs.replace(host, **changes)


def _refuse_conflicts(host: HostConfig, asked: HostConfig) -> None:
    quotas = (("CPU Period", "cpu_period"), ("CPU Quota", "cpu_quota"))
    for name, field in quotas:
        if asked.nano_cpus and getattr(host, field):
            raise Conflict(
                f"Conflicting options: Nano CPUs cannot be updated as {name} has already been set"
            )
        if getattr(asked, field) and host.nano_cpus:
            raise Conflict(
                f"Conflicting options: {name} cannot be updated as NanoCPUs has already been set"
            )
    if asked.memory and asked.memory > host.memory_swap and not asked.memory_swap:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    swap = asked.memory_swap
    if 0 < swap < (asked.memory or host.memory):
        raise Conflict(
            "Minimum memoryswap limit should be larger than memory limit: "
            "update the memory limit at the same time"
        )
