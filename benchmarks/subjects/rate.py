"""Warm runs a second: eight clients, each of which runs one container after the other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import docker

from measure import Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import World

CLIENTS = 8
EACH = 10
GOAL = Goal(1 / 60, "", "≤ 16.7 ms (60 a second)")


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the one row: what a run costs when eight clients keep the machine busy."""
    contenders = {name: eight(host, world.busybox) for name, host in world.hosts.items()}
    results = by_turns(contenders, max(3, rounds // 3), warm=1)
    yield Row(f"each of {CLIENTS * EACH} runs by {CLIENTS} clients", results, (GOAL,))


def eight(host: Host, image: str) -> Contender:
    """Return the contender whose figure is the seconds for each run."""
    clients = [docker.DockerClient(host.url, timeout=600) for _ in range(CLIENTS)]
    pool = ThreadPoolExecutor(CLIENTS)

    def one(client: docker.DockerClient) -> None:
        for _ in range(EACH):
            client.containers.run(image, "true", network_mode="none", remove=True)

    def run(clock: Timed) -> None:
        with clock():
            list(pool.map(one, clients))
        clock.seconds /= CLIENTS * EACH

    return run
