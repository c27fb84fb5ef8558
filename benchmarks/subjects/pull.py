"""Pull of 77 MB in 10,000 files, one gzip layer, from a loopback registry."""

import os
import shutil
import subprocess
from collections.abc import Iterator

from measure import Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import World, many_files


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the one row; what was written before is on the disk when a pull begins."""
    name = world.registry.add(many_files(), "files")
    contenders = {column: by_api(host, name) for column, host in world.hosts.items()}
    if shutil.which("podman"):
        contenders["podman"] = by_podman(world, name)
    goal = Goal(0.6, "docker", "≤ 0.6 of Docker's")
    yield Row("pull of 77 MB in 10,000 files", by_turns(contenders, rounds, warm=1), (goal,), "s")


def by_api(host: Host, name: str) -> Contender:
    """Return the contender that pulls through the Engine API and reads the progress."""

    def run(clock: Timed) -> None:
        os.sync()
        with clock():
            said = list(host.client.api.pull(name, stream=True, decode=True))
        assert "error" not in said[-1], said[-1]
        host.client.images.remove(name)

    return run


def by_podman(world: World, name: str) -> Contender:
    """Return the contender that pulls by the podman command."""

    def run(clock: Timed) -> None:
        os.sync()
        with clock():
            pull = world.podman("pull", "-q", "--tls-verify=false", name)
            subprocess.run(pull, check=True, capture_output=True)
        subprocess.run(world.podman("rmi", name), check=True, capture_output=True)

    return run
