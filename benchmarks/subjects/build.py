"""Builds of ten steps by docker-py: all from the cache, and ten small RUNs with nothing cached."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from measure import RHYTHMS, Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import World

STEPS = 10


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield four rows: cached and not, back to back and with a pause before each."""
    folder = world.folder / "build"
    folder.mkdir(exist_ok=True)
    steps = "".join(f"RUN echo {number} > /step-{number}\n" for number in range(STEPS))
    (folder / "Dockerfile").write_text(f"FROM {world.busybox}\n{steps}")
    cached = Goal(0.5, "docker", "≤ 0.5 of Docker's")
    uncached = Goal(0.25, "docker", "≤ 0.25 of Docker's")
    for pause, rhythm in RHYTHMS:
        contenders = _contenders(world, folder, cached=True)
        name = f"build of {STEPS} steps, all cached, {rhythm}"
        yield Row(name, by_turns(contenders, rounds, pause), (cached,))
        contenders = _contenders(world, folder, cached=False)
        few = max(3, rounds // 3)  # Docker's takes seconds
        name = f"build of {STEPS} small RUNs, nothing cached, {rhythm}"
        yield Row(name, by_turns(contenders, few, pause, warm=1), (uncached,))


def _contenders(world: World, folder: Path, *, cached: bool) -> dict[str, Contender]:
    found = {column: building(host, folder, cached=cached) for column, host in world.hosts.items()}
    if shutil.which("podman"):
        pull = world.podman("pull", "-q", "--tls-verify=false", world.busybox)
        subprocess.run(pull, check=True, capture_output=True)
        flags = ("--layers",) if cached else ("--layers", "--no-cache")
        build = world.podman("build", "-q", *flags, "--network", "none", "-t", "bench", str(folder))
        found["podman"] = by_command(build)
    return found


def building(host: Host, folder: Path, *, cached: bool) -> Contender:
    """Return the contender that builds through the API."""

    def run(clock: Timed) -> None:
        with clock():
            host.client.images.build(path=str(folder), tag="bench", nocache=not cached, rm=True)
        host.client.images.prune()

    return run


def by_command(command: list[str]) -> Contender:
    """Return the contender that is a command."""

    def run(clock: Timed) -> None:
        with clock():
            subprocess.run(command, check=True, capture_output=True)

    return run
