"""Resource limits: checked as Docker checks them, and said in the OCI runtime spec's words."""

import os
import resource
from typing import Any

from ipycontainer_runtime.engine.blockio import block_io
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.records import HostConfig, Ulimit

ULIMITS = tuple(
    sorted(
        name[7:].lower()
        for name in dir(resource)
        if name.startswith("RLIMIT_") and name[7:] != "OFILE"
    )
)
"""The names that `--ulimit` knows: those of this machine's limits."""

_UNLIMITED = -1

MIN_MEMORY = 6 << 20
"""Bytes; below this a runtime cannot reach the container's first instruction (Docker's figure)."""

_LEAST_NANO_CPUS = 10_000_000
"""The kernel's least quota, 1 ms, of the period below."""

_LONGEST_LIST = 1024
"""Characters of a list of CPUs: each of its ranges may name thousands."""

_PERIOD = 100_000
"""Microseconds of the CPU period that --cpus is counted in."""


def _refuse_if(wrong: bool, message: str) -> None:
    if wrong:
        raise InvalidParameter(message)


def check_limits(host: HostConfig) -> None:
    """Refuse limits that contradict each other or the machine, and fill in what follows."""
    check_values(host)
    _refuse_if(
        host.memory == 0 and host.memory_swap > 0,
        "You should always set the Memory limit when using Memoryswap limit, see usage",
    )
    if host.memory > 0 and host.memory_swap == 0:
        host.memory_swap = 2 * host.memory
    _refuse_if(
        not -1000 <= host.oom_score_adj <= 1000,
        f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]",
    )
    _refuse_if(host.shm_size < 0, "SHM size can not be less than 0")
    if host.pids_limit is not None and host.pids_limit <= 0:
        host.pids_limit = None
    for ulimit in host.ulimits or ():
        _check_ulimit(ulimit)


def check_values(host: HostConfig) -> None:
    """Refuse limits that cannot be, whatever else the container has."""
    _check_memory(host)
    _check_cpu(host)
    block_io(host)


def _check_ulimit(ulimit: Ulimit) -> None:
    _refuse_if(
        ulimit.name.lower() not in ULIMITS,
        f"invalid ulimit type: {ulimit.name}: use one of {', '.join(ULIMITS)}",
    )
    soft, hard = ulimit.soft, ulimit.hard
    _refuse_if(
        hard != _UNLIMITED and (soft == _UNLIMITED or soft > hard),
        f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}",
    )


def _check_memory(host: HostConfig) -> None:
    memory, swap, reserved = host.memory, host.memory_swap, host.memory_reservation
    _refuse_if(0 < memory < MIN_MEMORY, "Minimum memory limit allowed is 6MB")
    _refuse_if(
        memory > 0 and 0 < swap < memory,
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    )
    _refuse_if(0 < reserved < MIN_MEMORY, "Minimum memory reservation allowed is 6MB")
    _refuse_if(
        0 < memory < reserved,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )
    swappiness = host.memory_swappiness
    if swappiness == -1:  # how the docker command says "not set"
        host.memory_swappiness = None
    elif swappiness is not None:
        _refuse_if(
            not 0 <= swappiness <= 100,
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100",
        )


def _check_cpu(host: HostConfig) -> None:
    count = os.cpu_count() or 1
    if host.nano_cpus:
        conflict = "Conflicting options: Nano CPUs and CPU {} cannot both be set."
        _refuse_if(host.cpu_period > 0, conflict.format("Period"))
        _refuse_if(host.cpu_quota > 0, conflict.format("Quota"))
        _refuse_if(
            not _LEAST_NANO_CPUS <= host.nano_cpus <= count * 1_000_000_000,
            f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available",
        )
    _refuse_if(
        host.cpu_period != 0 and not 1000 <= host.cpu_period <= 1_000_000,
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )
    _refuse_if(0 < host.cpu_quota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    _refuse_if(
        host.cpu_shares != 0 and not 2 <= host.cpu_shares <= 262144,
        f"Invalid value {host.cpu_shares} for CPU shares: they are 2 to 262144",
    )
    _check_set(host.cpuset_cpus, "cpuset cpus", "CPUs", "/sys/devices/system/cpu/online")
    _check_set(host.cpuset_mems, "cpuset mems", "memory nodes", "/sys/devices/system/node/online")


def _check_set(asked: str, field: str, noun: str, source: str) -> None:
    if not asked:
        return
    numbers = _numbers(asked)
    _refuse_if(numbers is None, f"Invalid value {asked[:_LONGEST_LIST]} for {field}")
    try:
        with open(source) as file:
            available = file.read().strip()
    except FileNotFoundError:  # a kernel without NUMA has no nodes to list
        available = "0"
    _refuse_if(
        not (numbers or set()) <= (_numbers(available) or set()),
        f"Requested {noun} are not available - requested {asked}, available: {available}",
    )


def _numbers(text: str) -> set[int] | None:
    """Return the numbers of a list like `0-2,7`; None when it is not one."""
    numbers: set[int] = set()
    if len(text) > _LONGEST_LIST:
        return None
    for part in text.split(","):
        low, _, high = part.partition("-")
        if not (low.isdecimal() and (high.isdecimal() or not high)) or len(part) > 12:
            return None
        numbers.update(range(int(low), min(int(high or low), 8191) + 1))
    return numbers


def limits(host: HostConfig) -> dict[str, Any]:
    """Return the runtime spec's `linux.resources`; a limit that was not set is not in it."""
    quota, period = host.cpu_quota, host.cpu_period
    if host.nano_cpus:
        quota, period = host.nano_cpus * _PERIOD // 1_000_000_000, _PERIOD
    groups: dict[str, dict[str, Any]] = {
        "memory": {
            "limit": host.memory,
            "swap": host.memory_swap,
            "reservation": host.memory_reservation,
            "swappiness": host.memory_swappiness,
            "disableOOMKiller": bool(host.oom_kill_disable),
        },
        "cpu": {
            "shares": host.cpu_shares,
            "quota": quota,
            "period": period,
            "cpus": host.cpuset_cpus,
            "mems": host.cpuset_mems,
        },
        "pids": {"limit": host.pids_limit},
        "blockIO": block_io(host),
    }
    asked = {
        name: {key: value for key, value in group.items() if value or (key, value) == _NO_SWAPPING}
        for name, group in groups.items()
    }
    return {name: group for name, group in asked.items() if group}


_NO_SWAPPING = ("swappiness", 0)
