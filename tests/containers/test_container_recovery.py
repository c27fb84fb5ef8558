"""What a new engine makes of the containers of one that was killed."""

import json
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from support import leftovers
from support.calls import Connection, begin, call, create, ended, logged, remove, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

GO = ("sh", "-c", "while [ ! -e /go ]; do usleep 20000; done; echo done; exit 7")


@pytest.fixture
def pulled(engine: Engine, busybox: str) -> str:
    engine.succeed("pull", "-q", busybox)
    return busybox


def folder(engine: Engine, container: str) -> Path:
    return engine.paths.root / "containers" / container


def test_a_container_runs_on_though_its_engine_never_wrote_that_it_started(
    engine: Engine, pulled: str
) -> None:
    container = create(engine, pulled, *GO)
    start(engine, container)
    before = state(engine, container)
    engine.kill()
    # As when it was killed a moment earlier.
    (folder(engine, container) / "state.json").unlink(missing_ok=True)
    engine.start()
    assert state(engine, container) == before
    engine.docker("exec", container, "touch", "/go")  # the end may come upon it before its own
    assert ended(engine, container) == 7
    assert logged(engine, container) == b"done\n"


def test_an_exit_that_no_engine_saw_is_known(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, *GO)
    start(engine, container)
    shim = leftovers.processes(engine.paths.run / "shims")
    pid = state(engine, container)["Pid"]
    engine.succeed("exec", "-d", container, "sh", "-c", "sleep 1; touch /go")
    engine.kill()
    assert not leftovers.outlived([pid, *shim])
    (folder(engine, container) / "state.json").unlink(missing_ok=True)
    engine.start()
    found = state(engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 7)
    assert found["StartedAt"] < found["FinishedAt"]


def test_an_auto_removed_container_that_ended_unseen_is_removed(
    engine: Engine, pulled: str
) -> None:
    settings = {"AutoRemove": True}
    container = create(engine, pulled, *GO, HostConfig=settings)
    start(engine, container)
    pid = state(engine, container)["Pid"]
    engine.succeed("exec", "-d", container, "sh", "-c", "sleep 1; touch /go")
    engine.kill()
    assert not leftovers.outlived([pid])
    engine.start()
    # Its shim may still be writing the exit down: then the removal is a moment away.
    path = f"/containers/{container}/wait?condition=removed"
    assert call(engine, "POST", path).status in (200, 404)
    assert call(engine, "GET", f"/containers/{container}/json").status == 404


def test_what_happens_to_a_container_after_its_adoption_is_taken(
    engine: Engine, pulled: str
) -> None:
    container = create(engine, pulled, "sleep", "1000", name="kept")
    start(engine, container)
    engine.kill()
    engine.start()
    assert call(engine, "POST", "/containers/create?name=kept", {"Image": pulled}).status == 409
    _, waiting = begin(engine, "POST", f"/containers/{container}/wait")
    assert call(engine, "POST", "/containers/kept/stop?t=0").status == 204
    assert json.loads(waiting.read())["StatusCode"] == 137


def test_execs_outlive_the_engine_and_are_known_to_the_next(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, "sleep", "1000")
    start(engine, container)
    body = {"Cmd": ["sleep", "1000"]}
    made = call(engine, "POST", f"/containers/{container}/exec", body).body["Id"]
    call(engine, "POST", f"/exec/{made}/start", {"Detach": True})
    engine.kill()
    engine.start()
    assert call(engine, "GET", f"/exec/{made}/json").body["Running"]
    remove(engine, container)


def test_how_an_exec_ended_is_known_to_the_next_engine(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, "sleep", "1000")
    start(engine, container)
    api = engine.client.api
    made = api.exec_create(container, ["sleep", "1000"])["Id"]
    api.exec_start(made, detach=True)
    pid = api.exec_inspect(made)["Pid"]
    engine.kill()
    os.kill(pid, signal.SIGKILL)
    engine.start()
    found = call(engine, "GET", f"/exec/{made}/json").body
    assert (found["Running"], found["ExitCode"]) == (False, 137)
    assert found["Fault"]["Signal"] == 9
    remove(engine, container)


def test_a_container_whose_shim_is_killed_has_ended(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, "sleep", "1000")
    start(engine, container)
    pid = state(engine, container)["Pid"]
    _, waiting = begin(engine, "POST", f"/containers/{container}/wait")
    os.kill(leftovers.parent(pid), signal.SIGKILL)
    assert json.loads(waiting.read())["StatusCode"] == 137
    assert not leftovers.outlived([pid])
    found = state(engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 137)


def test_a_container_that_a_power_cut_ended_has_exited_255(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, "sleep", "1000")
    start(engine, container)
    pid = state(engine, container)["Pid"]
    client.stop(engine.paths)
    os.kill(leftovers.parent(pid), signal.SIGKILL)
    assert not leftovers.outlived([pid])
    engine.start()
    found = state(engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 255)


def test_a_container_that_was_killed_with_its_engine_a_moment_after_its_start_has_exited_255(
    engine: Engine, pulled: str
) -> None:
    container = create(engine, pulled, "sleep", "1000")
    start(engine, container)
    pid = state(engine, container)["Pid"]
    engine.kill()
    os.kill(leftovers.parent(pid), signal.SIGKILL)
    assert not leftovers.outlived([pid])
    # As when both were killed before the start was written down.
    (folder(engine, container) / "state.json").unlink(missing_ok=True)
    engine.start()
    found = state(engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 255)


def test_a_restart_that_was_cut_short_is_finished_and_keeps_an_auto_removed_container(
    engine: Engine, pulled: str
) -> None:
    stubborn = ("sh", "-c", "trap '' TERM; while :; do usleep 20000; done")
    container = create(engine, pulled, *stubborn, HostConfig={"AutoRemove": True})
    start(engine, container)
    before = state(engine, container)
    with closing(Connection(engine)) as connection:
        connection.request("POST", f"/containers/{container}/restart?t=1000")
        # It is asked for, and its container does not end by itself.
        signalled = {"container": [container], "event": ["kill"]}
        next(iter(engine.client.events(since=0, filters=signalled)))
        engine.kill()
        os.kill(before["Pid"], signal.SIGKILL)
        assert not leftovers.outlived([before["Pid"]])
        engine.start()
    begun = {"container": [container], "event": ["restart"]}
    next(iter(engine.client.events(since=0, filters=begun)))
    after = state(engine, container)
    assert after["Running"]
    assert after["StartedAt"] > before["StartedAt"]


def test_a_creation_that_was_cut_short_is_cleared_away(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, "true")
    engine.kill()
    torn, bare = folder(engine, "a" * 64), folder(engine, "b" * 64)
    torn.mkdir()
    (torn / "config.json").write_bytes(b'{"id": "aaaa')
    (bare / "upper").mkdir(parents=True)
    engine.start()
    listed = call(engine, "GET", "/containers/json?all=1").body
    assert [found["Id"] for found in listed] == [container]
    assert not torn.exists()
    assert not bare.exists()


def test_a_torn_state_is_no_obstacle(engine: Engine, pulled: str) -> None:
    container = create(engine, pulled, "true")
    start(engine, container)
    ended(engine, container)
    engine.kill()
    (folder(engine, container) / "state.json").write_bytes(b"")
    engine.start()
    assert state(engine, container)["Status"] == "exited"
    start(engine, container)
    assert ended(engine, container) == 0
