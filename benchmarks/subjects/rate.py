"""Warm runs a second: eight clients, each of which runs one container after the other."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import docker

from measure import Contender, Timed, by_turns
from support.calls import Connection
from support.hosts import Host
from table import Goal, Row
from world import World

CLIENTS = 8
EACH = 10
GOAL = Goal(1 / 60, "", "≤ 16.7 ms (60 a second)")
JSON = {"Content-Type": "application/json"}

Client = Callable[[], None]
"""Runs one container to its end."""


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield what a run costs when eight clients keep the machine busy.

    The first row's clients send what a run needs and little more, so that it is the engine that is
    measured; the second's are docker-py, which takes as much of the two processors as the engine.
    """
    for kind, words in ((requests, "create, wait and start"), (library, "by docker-py")):
        contenders = {
            name: eight([kind(host, world.busybox) for _ in range(CLIENTS)])
            for name, host in world.hosts.items()
        }
        results = by_turns(contenders, max(3, rounds // 3), warm=1)
        yield Row(f"each of {CLIENTS * EACH} runs by {CLIENTS} clients, {words}", results, (GOAL,))


def eight(clients: list[Client]) -> Contender:
    """Return the contender whose figure is the seconds for each run."""
    pool = ThreadPoolExecutor(CLIENTS)

    def one(client: Client) -> None:
        for _ in range(EACH):
            client()

    def run(clock: Timed) -> None:
        with clock():
            list(pool.map(one, clients))
        clock.seconds /= CLIENTS * EACH

    return run


def requests(host: Host, image: str) -> Client:
    """Return a client of two connections that are kept open."""
    settings = {"NetworkMode": "none", "AutoRemove": True}
    body = json.dumps({"Image": image, "Cmd": ["true"], "HostConfig": settings})
    asking, waiting = Connection(host), Connection(host)

    def run() -> None:
        asking.request("POST", "/containers/create", body, JSON)
        made = json.load(asking.getresponse())["Id"]
        waiting.request("POST", f"/containers/{made}/wait?condition=next-exit")
        ending = waiting.getresponse()
        asking.request("POST", f"/containers/{made}/start")
        assert asking.getresponse().read() == b""
        assert json.load(ending)["StatusCode"] == 0

    return run


def library(host: Host, image: str) -> Client:
    """Return a client that is docker-py's `run`."""
    client = docker.DockerClient(host.url, timeout=600)

    def run() -> None:
        client.containers.run(image, "true", network_mode="none", remove=True)

    return run
