"""A warm `run --rm --network none IMAGE true`, asked for by docker-py; crun runs its bundle."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from measure import RHYTHMS, Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import World

GOALS = (
    Goal(1 / 12, "docker", "≤ 1/12 of Docker's"),
    Goal(2.5, "crun", "≤ 2.5 x crun's"),
)


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield both rhythms, all contenders by turns."""
    contenders = {name: by_docker_py(host, world.busybox) for name, host in world.hosts.items()}
    contenders.update(commands(world))
    for pause, rhythm in RHYTHMS:
        yield Row(f"`run --rm IMAGE true`, {rhythm}", by_turns(contenders, rounds, pause), GOALS)


def by_docker_py(host: Host, image: str) -> Contender:
    """Return the contender that runs `true` by docker-py."""
    client = host.client

    def run(clock: Timed) -> None:
        with clock():
            client.containers.run(image, "true", network_mode="none", remove=True)

    return run


def commands(world: World) -> dict[str, Contender]:
    """Return the peers that are started as a command, without an engine."""
    found: dict[str, Contender] = {}
    if shutil.which("podman"):
        pull = world.podman("pull", "-q", "--tls-verify=false", world.busybox)
        subprocess.run(pull, check=True, capture_output=True)
        # Podman's own limits are higher than a root without CAP_SYS_RESOURCE may ask for.
        options = ["--rm", "--network", "none"]
        options += ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        found["podman"] = command(world.podman("run", *options, world.busybox, "true"))
    if shutil.which("crun") and world.docker:
        bundle = ["--bundle", str(world.bundle()), f"bench-{os.getpid()}"]
        found["crun"] = command(["crun", "--root", str(world.folder / "crun"), "run", *bundle])
    return found


def command(words: Sequence[str]) -> Contender:
    """Return the contender that executes a command and must succeed."""

    def run(clock: Timed) -> None:
        with clock():
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    return run
