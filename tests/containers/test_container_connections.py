"""A shim whose connection to the engine breaks keeps its container, and is found again."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support import descriptors, leftovers
from support.calls import Make, Reply, begin, call, create, ended, logged, remove, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

GO = ("sh", "-c", "while [ ! -e /go ]; do usleep 20000; done; echo done; exit 7")


def shim_of(engine: Engine, container: str) -> int:
    return leftovers.parent(state(engine, container)["Pid"])


def break_connection(engine: Engine, container: str) -> None:
    break_connections(engine.pid, shim_of(engine, container))


def break_connections(engine: int, shim: int) -> None:
    while not descriptors.break_connections(engine, {shim}):
        assert leftovers.alive(shim)  # the last one was broken a moment ago


def exec_created(engine: Engine, container: str, *command: str) -> Reply:
    return call(engine, "POST", f"/containers/{container}/exec", {"Cmd": list(command)})


def executed(engine: Engine, container: str, *command: str) -> str:
    """Execute a command; what meets a broken connection is refused, and said again."""
    while True:
        made = exec_created(engine, container, *command).body["Id"]
        reply = call(engine, "POST", f"/exec/{made}/start", {"Detach": True})
        if reply.status == 200:
            return str(made)
        assert reply.status == 503, reply.body


def test_a_container_runs_on_when_its_connection_breaks(shared_engine: Engine, run: Make) -> None:
    container = run(*GO)
    before = state(shared_engine, container)
    for _ in range(5):
        break_connection(shared_engine, container)
    assert state(shared_engine, container) == before
    waiting = begin(shared_engine, "POST", f"/containers/{container}/wait")
    break_connection(shared_engine, container)
    executed(shared_engine, container, "touch", "/go")
    assert b'"StatusCode":7' in waiting[1].read()
    waiting[0].close()
    assert logged(shared_engine, container) == b"done\n"


def test_a_container_is_ended_through_a_connection_that_has_just_broken(
    shared_engine: Engine, run: Make
) -> None:
    for verb in ("stop?t=0", "kill", "restart?t=0"):
        container = run("sleep", "1000")
        break_connection(shared_engine, container)
        reply = call(shared_engine, "POST", f"/containers/{container}/{verb}")
        assert reply.status == 204, reply.body
        remove(shared_engine, container)


def test_an_exec_that_ended_while_nobody_was_connected_has_its_code(
    shared_engine: Engine, run: Make
) -> None:
    container = run("sleep", "1000")
    script = "while [ ! -e /go ]; do usleep 10000; done; exit 5"
    waits = executed(shared_engine, container, "sh", "-c", script)
    lives = executed(shared_engine, container, "sleep", "1000")
    (Path(f"/proc/{state(shared_engine, container)['Pid']}/root/go")).touch()
    break_connection(shared_engine, container)
    while (found := call(shared_engine, "GET", f"/exec/{waits}/json").body)["Running"]:
        pass
    assert found["ExitCode"] == 5
    assert call(shared_engine, "GET", f"/exec/{lives}/json").body["Running"]


@contextmanager
def descriptors_up_to(pid: int, most: int) -> Iterator[None]:
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_container_runs_on_when_the_engine_cannot_connect_again_at_once(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*GO)
    pid, shim = shared_engine.pid, shim_of(shared_engine, container)
    with descriptors_up_to(pid, 1):
        break_connections(pid, shim)
    executed(shared_engine, container, "touch", "/go")
    assert ended(shared_engine, container) == 7


def test_a_container_runs_on_when_more_clients_attach_than_its_shim_has_descriptors_for(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*GO)
    shim = shim_of(shared_engine, container)
    most = max(int(name) for name in os.listdir(f"/proc/{shim}/fd")) + 1
    path = f"/containers/{container}/attach?stream=1&stdout=1"
    with descriptors_up_to(shim, most), ExitStack() as stack:
        for _ in range(most):
            connection, response = begin(shared_engine, "POST", path)
            stack.callback(connection.close)
            stack.callback(response.close)
        assert state(shared_engine, container)["Status"] == "running"
    executed(shared_engine, container, "touch", "/go")
    assert ended(shared_engine, container) == 7


def test_an_engine_does_not_wait_for_a_shim_that_is_held_still(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    container = create(engine, busybox, *GO)
    start(engine, container)
    shim = shim_of(engine, container)
    os.kill(shim, signal.SIGSTOP)
    try:
        engine.kill()
        engine.start()
        assert state(engine, container)["Status"] in ("created", "running")  # as was written last
    finally:
        os.kill(shim, signal.SIGCONT)
    while (reply := exec_created(engine, container, "touch", "/go")).status != 201:
        assert reply.status == 409, reply.body
    assert call(engine, "POST", f"/exec/{reply.body['Id']}/start", {"Detach": True}).status == 200
    assert ended(engine, container) == 7
