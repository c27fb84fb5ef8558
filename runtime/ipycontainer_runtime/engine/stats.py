"""What containers use of the machine, in the shape and units of Docker's statistics."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.runtimes import OWN
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.shim.nursery import ThreadNursery
from ipycontainer_runtime.store.records import NEVER

if TYPE_CHECKING:
    from ipycontainer_runtime.linux.cgroup.base import Transfer

PERIOD = 1.0
"""Seconds between two samples, as Docker's."""

_NANOSECONDS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NO_PROCESSOR = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}


class Stats:
    """Samples the figures of containers."""

    def __init__(self, *, containers: Containers, cgroups: Cgroups) -> None:
        self._containers = containers
        self._cgroups = cgroups

    async def sample(self, reference: str, *, one_shot: bool) -> dict[str, Any]:
        """Return one sample; with the one before it, a second ago, unless `one_shot`.

        One container that does not run has no figures. NotFound when there is none.
        """
        container = self._containers.get(reference)
        if one_shot or not container.state.running:
            return self._sample(container, None)
        before = self._sample(container, None)
        await asyncio.sleep(PERIOD)
        return self._sample(container, before)

    async def stream(self, reference: str) -> AsyncIterator[dict[str, Any]]:
        """Yield a sample at once and then one a second, until the container is removed."""
        container = self._containers.get(reference)
        removed = container.removals.add()
        sample = None
        try:
            while not removed.done():
                sample = self._sample(container, sample)
                yield sample
                await asyncio.wait((removed,), timeout=PERIOD)
        finally:
            removed.cancel()

    def _sample(self, container: Container, before: dict[str, Any] | None) -> dict[str, Any]:
        running = container.state.running
        cgroup = self._cgroups.hierarchy.open(container.cgroup)
        usage = cgroup.usage() if running else {}
        return {
            "name": f"/{container.record.name}",
            "id": container.id,
            "read": rfc3339(time.time_ns()) if running else NEVER,
            "preread": before["read"] if before else NEVER,
            "num_procs": 0,
            "pids_stats": self._pids(container, usage),
            "cpu_stats": _processor(usage) if running else _NO_PROCESSOR,
            "precpu_stats": before["cpu_stats"] if before else _NO_PROCESSOR,
            "memory_stats": self._memory(usage),
            "blkio_stats": _disks(cgroup.transferred() if running else []),
            "storage_stats": {},
            **_interfaces(container),
        }

    def _pids(self, container: Container, usage: dict[str, int]) -> dict[str, int]:
        # On v1 the shim's nursery is one of them, and the limit is one more than was asked for;
        # another runtime's container has the cgroup for itself.
        own = (container.record.host_config.runtime or OWN) == OWN
        ours = ThreadNursery.members if own and self._cgroups.hierarchy.mode == "v1" else 0
        named = (("current", "pids"), ("limit", "pids_limit"))
        return {name: usage[key] - ours for name, key in named if key in usage}

    def _memory(self, usage: dict[str, int]) -> dict[str, Any]:
        if "memory" not in usage:
            return {}
        # The docker command takes the file cache that could go from what is used; it tells v1
        # from v2 by the name.
        inactive = (
            "total_inactive_file" if self._cgroups.hierarchy.mode == "v1" else "inactive_file"
        )
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return {
            "usage": usage["memory"],
            "max_usage": usage.get("memory_peak", 0),
            "stats": {inactive: usage.get("memory_inactive", 0)},
            "limit": min(usage.get("memory_limit", total), total),
        }


def _disks(transfers: "list[Transfer]") -> dict[str, Any]:
    """Return what went from and to disks."""
    found: dict[str, list[dict[str, Any]]] = {"bytes": [], "requests": []}
    for kind, major, minor, operation, figure in transfers:
        entry = {"major": major, "minor": minor, "op": operation, "value": figure}
        found[kind].append(entry)
    return {
        "io_service_bytes_recursive": found["bytes"] or None,
        "io_serviced_recursive": found["requests"] or None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


def _interfaces(container: Container) -> dict[str, Any]:
    """Return what went in and out of the container's interfaces, if it has any of its own."""
    ends = container.sandbox.endpoints.values() if container.sandbox else ()
    own = {end.interface for end in ends if end.interface}
    if not own or not container.state.running:
        return {}
    found = {}
    try:
        lines = Path(f"/proc/{container.state.pid}/net/dev").read_text().splitlines()
    except OSError:  # it has just ended
        return {}
    for line in lines[2:]:  # after the headings
        name, _, figures = line.partition(":")
        if name.strip() in own:
            figure = [int(word) for word in figures.split()]
            # Each way has eight columns, of which the first four are these.
            columns = ("bytes", "packets", "errors", "dropped")
            received = {
                f"rx_{column}": value for column, value in zip(columns, figure, strict=False)
            }
            sent = {f"tx_{c}": value for c, value in zip(columns, figure[8:], strict=False)}
            found[name.strip()] = {**received, **sent}
    return {"networks": found} if found else {}


def _processor(usage: dict[str, int]) -> dict[str, Any]:
    return {
        "cpu_usage": {
            "total_usage": usage.get("cpu", 0),
            "usage_in_kernelmode": usage.get("cpu_system", 0),
            "usage_in_usermode": usage.get("cpu_user", 0),
        },
        "system_cpu_usage": _machine(),
        "online_cpus": os.cpu_count() or 1,
        "throttling_data": {
            "periods": usage.get("periods", 0),
            "throttled_periods": usage.get("throttled", 0),
            "throttled_time": usage.get("throttled_time", 0),
        },
    }


def _machine() -> int:
    """Return the time of all processors since the start, idle or not, in nanoseconds."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    # user nice system idle iowait irq softirq steal; what follows is counted in user already.
    return sum(map(int, first.split()[1:9])) * _NANOSECONDS
