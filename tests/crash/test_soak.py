"""Many containers, one after the other and side by side: nothing grows that should not.

`--long` makes 2,000 in sequence and 200 at once.
"""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import crashchecks
import docker
import pytest
from crashfaults import Processes

from ipycontainer_runtime.shim.spawner import PARKED
from support import leftovers
from support.engines import Engine

pytestmark = pytest.mark.needs("docker", "busybox", "docker-registry", "skopeo")

CLIENTS = 8
GROWTH = 4 << 20
"""Bytes that a process may come to hold besides, as the last events: 2,000 leaks of 2 KB."""
OF_A_PARKED_SHIM = 2
"""Descriptors that the engine has for each shim that waits for a container; one or two do."""


class Figures(NamedTuple):
    """What the engine's process, or the spawner's, has, but for parked shims."""

    descriptors: int
    memory: int


def figures(pid: int) -> Figures:
    text = leftovers.read(pid, "status").decode()
    found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    assert found, f"process {pid} has gone"
    return Figures(len(os.listdir(f"/proc/{pid}/fd")), int(found[1]) * 1024)


class Soak:
    """An engine with `image`, and what it had at rest."""

    def __init__(self, engine: Engine, image: str) -> None:
        self.engine = engine
        self.image = image
        engine.succeed("pull", "-q", image)
        engine.client.ping()  # its connection stays open

    def by_clients(self, work: Callable[[docker.DockerClient], None], count: int) -> None:
        """Do some work so many times, by several clients at once."""

        def one(number: int) -> None:
            client = docker.DockerClient(self.engine.url, timeout=600)
            try:
                work(client)
            finally:
                client.close()

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(one, range(count)))

    def run(self, client: docker.DockerClient) -> None:
        said = client.containers.run(self.image, ["echo", "x"], network_mode="none", remove=True)
        assert said == b"x\n"

    def begin(self, client: docker.DockerClient) -> None:
        client.containers.run(self.image, ["sleep", "1000"], network_mode="none", detach=True)

    def at_rest(self) -> list[Figures]:
        """Return the figures of engine and spawner once nothing else is there."""
        assert not leftovers.eventually(lambda: crashchecks.running(self.engine, 0))
        there = Processes(self.engine)
        assert not leftovers.mounts(self.engine.home)
        assert not list((self.engine.paths.root / "containers").iterdir())
        (engine,), (spawner,) = there.engine, there.spawner
        parked = len(list((self.engine.paths.run / "shims").glob(f"{PARKED}*")))
        found = figures(engine)
        own = found._replace(descriptors=found.descriptors - OF_A_PARKED_SHIM * parked)
        return [own, figures(spawner)]

    def compare(self, before: list[Figures]) -> None:
        """Fail where a process has more than it had."""
        most = [figure.descriptors for figure in before]

        def complaints() -> list[str]:
            now = [figure.descriptors for figure in self.at_rest()]
            return [] if all(map(int.__le__, now, most)) else [f"descriptors {now}, were {most}"]

        assert not leftovers.eventually(complaints)
        after = self.at_rest()
        print(f"before {before}, after {after}")
        for old, new in zip(before, after, strict=True):
            assert new.memory - old.memory < GROWTH, f"before {before}, after {after}"


@pytest.fixture
def soak(engine: Engine, busybox: str) -> Soak:
    return Soak(engine, busybox)


def in_sequence(soak: Soak, count: int) -> None:
    client = soak.engine.client
    for _ in range(count // 10):
        soak.run(client)
    before = soak.at_rest()
    for _ in range(count):
        soak.run(client)
    soak.compare(before)


def at_once(soak: Soak, count: int) -> None:
    soak.by_clients(soak.run, CLIENTS * 2)  # what is made once, as threads, is there then
    before = soak.at_rest()
    soak.by_clients(soak.begin, count)
    containers = soak.engine.client.api.containers()
    assert len(containers) == count
    pids = [soak.engine.client.api.inspect_container(c["Id"])["State"]["Pid"] for c in containers]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    ids = [found["Id"] for found in containers]
    # A client that stays keeps its connections open, which the engine would count.
    soak.by_clients(lambda client: client.api.remove_container(ids.pop(), force=True), count)
    assert not leftovers.outlived(pids)
    soak.compare(before)


def test_200_runs_leave_the_engine_as_it_was(soak: Soak) -> None:
    in_sequence(soak, 200)


def test_20_containers_at_once_leave_the_engine_as_it_was(soak: Soak) -> None:
    at_once(soak, 20)


@pytest.mark.long
@pytest.mark.ordinary_user
@pytest.mark.timeout(900)
def test_2000_runs_leave_the_engine_as_it_was(soak: Soak) -> None:
    in_sequence(soak, 2000)


@pytest.mark.long
@pytest.mark.ordinary_user
@pytest.mark.timeout(900)
def test_200_containers_at_once_leave_the_engine_as_it_was(soak: Soak) -> None:
    at_once(soak, 200)
