"""What an engine and each of its containers take in memory."""

import re
from collections.abc import Iterator
from pathlib import Path

from ipycontainer_runtime import client as engines
from measure import Result
from support import leftovers
from support.hosts import Host
from table import Goal, Row
from world import World

CONTAINERS = 20


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the engine at rest, then each container's share; one figure, not a round of times."""
    worked = {"ours": Result((resident(world.ours.pid),))}
    engines.stop(world.ours.paths)
    world.ours.start()
    world.ours.client.containers.run(world.busybox, "true", network_mode="none", remove=True)
    engine = {"ours": Result((resident(world.ours.pid),))}
    rest = {name: Result((pss(own(host)),)) for name, host in world.hosts.items()}
    yield Row("engine at rest, resident", engine, (Goal(50 << 20, "", "≤ 50 MB"),), "MB")
    yield Row("the same after all of the above", worked, (), "MB")
    yield Row("engine and its helpers at rest, PSS", rest, (), "MB")
    each = {name: Result((share(host, world.busybox),)) for name, host in world.hosts.items()}
    goal = Goal(2 << 20, "", "≤ 2 MB")
    yield Row("each of 20 running containers, PSS without its own", each, (goal,), "MB")


def share(host: Host, image: str) -> float:
    """Return by how much the engine's processes grow for each running container, in bytes."""
    before = pss(own(host))
    options = {"network_mode": "none", "detach": True}
    run = host.client.containers.run
    containers = [run(image, ["sleep", "600"], **options) for _ in range(CONTAINERS)]
    try:
        inside = {container.attrs["State"]["Pid"] for container in map(reloaded, containers)}
        return (pss(own(host) - inside) - before) / CONTAINERS
    finally:
        for container in containers:
            container.remove(force=True)


def reloaded(container):  # type: ignore[no-untyped-def]  # docker-py's model classes are untyped
    """Return the container with its state read anew."""
    container.reload()
    return container


def own(host: Host) -> set[int]:
    """Return the processes of an engine: those that its folder is told to in words."""
    mark = str(host.home).encode()
    return {
        pid
        for pid in leftovers.processes(host.home)
        if mark in leftovers.read(pid, "environ") + leftovers.read(pid, "cmdline")
    }


def pss(pids: set[int]) -> float:
    """Return the proportional set size of these processes together, in bytes."""
    return float(sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in pids) * 1024)


def resident(pid: int) -> float:
    """Return the resident set size of a process, in bytes."""
    return float(kilobytes(pid, "status", "VmRSS") * 1024)


def kilobytes(pid: int, file: str, field: str) -> int:
    """Return one figure of a process; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
