"""Twenty containers at once, each run and removed by a client of its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import docker

from measure import Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import World

AT_ONCE = 20


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the one row."""
    contenders = {name: twenty(host, world.busybox) for name, host in world.hosts.items()}
    goal = Goal(1 / 5, "docker", "≤ 1/5 of Docker's")
    yield Row("20 containers at once", by_turns(contenders, rounds, warm=1), (goal,))


def twenty(host: Host, image: str) -> Contender:
    """Return the contender that runs `true` twenty times side by side."""
    # As many connections as containers, made before the clock runs.
    clients = [docker.DockerClient(host.url, timeout=600) for _ in range(AT_ONCE)]
    pool = ThreadPoolExecutor(AT_ONCE)

    def one(client: docker.DockerClient) -> None:
        client.containers.run(image, "true", network_mode="none", remove=True)

    def run(clock: Timed) -> None:
        with clock():
            list(pool.map(one, clients))

    return run
