"""Pause and unpause, over the API, with containers that count."""

import os
import signal
from itertools import pairwise

import pytest

from support import leftovers
from support.calls import Connection, Make, begin, call, ended, logged, start, state
from support.engines import Engine

COUNTING = ("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done")

pytestmark = [
    pytest.mark.cgroup2,
    pytest.mark.needs("docker", "busybox"),
    pytest.mark.usefixtures("limits"),
]


def asked(engine: Engine, container: str, what: str) -> int:
    return call(engine, "POST", f"/containers/{container}/{what}").status


def counted(engine: Engine, container: str) -> list[int]:
    return [int(line) for line in logged(engine, container).split()]


def until_counting(engine: Engine, container: str, since: int = 0) -> None:
    """Wait until the container has counted past `since`."""
    connection, response = begin(engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1")
    while int(response.read(8)[4:].hex(), 16) and int(response.readline()) <= since:
        pass
    connection.close()


def test_a_paused_container_does_nothing_until_it_goes_on(
    shared_engine: Engine, run: Make, busybox: str
) -> None:
    container = run(*COUNTING)
    until_counting(shared_engine, container)
    assert asked(shared_engine, container, "pause") == 204
    before = counted(shared_engine, container)
    found = state(shared_engine, container)
    assert (found["Status"], found["Running"], found["Paused"]) == ("paused", True, True)
    # Many times what it sleeps between two numbers.
    shared_engine.succeed("run", "--rm", "--network", "none", busybox, "sleep", "0.3")
    assert counted(shared_engine, container) == before
    assert asked(shared_engine, container, "unpause") == 204
    until_counting(shared_engine, container, since=before[-1])
    numbers = counted(shared_engine, container)
    assert all(second == first + 1 for first, second in pairwise(numbers))
    assert state(shared_engine, container)["Status"] == "running"


def test_ps_says_which_are_paused(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    asked(shared_engine, container, "pause")
    line = shared_engine.succeed(
        "ps", "--filter", "status=paused", "--format", "{{.ID}} {{.Status}}"
    )
    assert line.startswith(container[:12])
    assert line.endswith("(Paused)")
    assert container[:12] not in shared_engine.succeed("ps", "-q", "--filter", "status=running")


@pytest.mark.parametrize("end", ["kill", "stop?t=10", "kill?signal=TERM"])
def test_a_signal_ends_a_paused_container(shared_engine: Engine, run: Make, end: str) -> None:
    container = run("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
    connection, response = begin(
        shared_engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1"
    )
    assert response.read(14)[8:] == b"ready\n"
    connection.close()
    asked(shared_engine, container, "pause")
    assert asked(shared_engine, container, end) == 204
    assert ended(shared_engine, container) == (137 if end == "kill" else 3)


def test_a_paused_container_is_removed_by_force(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    asked(shared_engine, container, "pause")
    assert call(shared_engine, "DELETE", f"/containers/{container}?force=1").status == 204


def test_what_cannot_be_paused_is_409_in_dockers_words(shared_engine: Engine, make: Make) -> None:
    container = make("sleep", "1000")
    path = f"/containers/{container}"
    reply = call(shared_engine, "POST", f"{path}/pause")
    assert (reply.status, reply.message) == (409, f"Container {container} is not running")
    start(shared_engine, container)
    reply = call(shared_engine, "POST", f"{path}/unpause")
    assert (reply.status, reply.message) == (409, f"Container {container} is not paused")
    assert asked(shared_engine, container, "pause") == 204
    reply = call(shared_engine, "POST", f"{path}/pause")
    assert (reply.status, reply.message) == (409, f"Container {container} is already paused")
    reply = call(shared_engine, "POST", f"{path}/exec", {"Cmd": ["true"]})
    assert reply.status == 409
    assert "is paused, unpause the container before exec" in reply.message


def test_a_commit_leaves_a_paused_container_paused(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    asked(shared_engine, container, "pause")
    image = shared_engine.succeed("commit", container)
    assert state(shared_engine, container)["Paused"]
    shared_engine.succeed("rmi", image)


def test_the_next_engine_knows_that_a_container_is_paused(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    container = engine.succeed("run", "-d", "--network", "none", busybox, *COUNTING)
    until_counting(engine, container)
    asked(engine, container, "pause")
    before = counted(engine, container)
    engine.kill()
    engine.start()
    assert state(engine, container)["Status"] == "paused"
    assert asked(engine, container, "unpause") == 204
    until_counting(engine, container, since=before[-1])


def test_what_an_engine_froze_for_a_checkpoint_goes_on_when_it_is_killed(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    container = engine.succeed("run", "-d", "--network", "none", busybox, *COUNTING).strip()
    written = "for i in $(seq 3000); do echo $i > /tmp/$i; done"
    engine.succeed("exec", container, "sh", "-c", written)
    folder = engine.paths.root / "containers" / container
    pool, pid, path = (
        folder / "checkpoints/pool",
        engine.pid,
        f"/ipycontainer/containers/{container}/checkpoints",
    )
    asking = Connection(engine)
    asking.request("POST", path, "{}", {"Content-Type": "application/json"})
    while not (pool.is_dir() and os.listdir(pool)):
        pass
    os.kill(pid, signal.SIGKILL)
    assert not leftovers.outlived([pid])
    asking.close()
    assert len(os.listdir(pool)) < 3000, "the engine was done before it was killed"
    # Without a next engine.
    (log,) = folder.glob("*.log")
    size = log.stat().st_size
    while log.stat().st_size == size:
        pass
    engine.start()
    assert call(engine, "GET", path).body == []
    assert not os.listdir(pool)
