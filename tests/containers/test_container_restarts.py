"""Restart policies: who is started again, how often, and who is left alone."""

import json

import pytest

from ipycontainer_runtime import client
from support import leftovers
from support.calls import Make, begin, call, create, ended, logged, remove, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]

SLEEP = ("sleep", "1000")


def policy(name: str, most: int = 0, **host: object) -> dict[str, object]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": most}, **host}


def inspected(engine: Engine, container: str) -> dict[str, object]:
    found = call(engine, "GET", f"/containers/{container}/json").body
    assert isinstance(found, dict)
    return found


def events_until(engine: Engine, container: str, action: str, count: int) -> list[str]:
    """Return the actions of a container's events up to the `count`th of the kind."""
    filters = json.dumps({"container": [container]})
    connection, response = begin(
        engine, "GET", f"/events?since=1&filters={filters}".replace(" ", "")
    )
    actions: list[str] = []
    while actions.count(action) < count:
        actions.append(json.loads(response.readline())["Action"])
    connection.close()
    return actions


def test_on_failure_starts_a_container_as_often_as_it_may(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "echo run; exit 4", HostConfig=policy("on-failure", 2))
    actions = events_until(shared_engine, container, "die", 3)
    assert [a for a in actions if a in ("start", "die")] == ["start", "die"] * 3
    found = inspected(shared_engine, container)
    assert (found["RestartCount"], state(shared_engine, container)["Status"]) == (2, "exited")
    assert logged(shared_engine, container) == b"run\n" * 3


def test_on_failure_leaves_a_success_alone(shared_engine: Engine, run: Make) -> None:
    container = run("true", HostConfig=policy("on-failure"))
    assert ended(shared_engine, container) == 0
    assert state(shared_engine, container)["Status"] == "exited"


@pytest.mark.parametrize("name", ["always", "unless-stopped"])
def test_a_container_goes_on_until_it_is_stopped(
    shared_engine: Engine, run: Make, name: str
) -> None:
    container = run(
        "sh", "-c", "[ -e /again ] && exec sleep 1000; touch /again", HostConfig=policy(name)
    )
    events_until(shared_engine, container, "start", 2)
    assert state(shared_engine, container)["Running"]
    assert call(shared_engine, "POST", f"/containers/{container}/stop?t=0").status == 204
    found = state(shared_engine, container)
    assert (found["Status"], found["Restarting"]) == ("exited", False)


def test_between_two_runs_a_container_is_restarting(shared_engine: Engine, run: Make) -> None:
    container = run("false", HostConfig=policy("always"))
    events_until(shared_engine, container, "die", 4)  # the next start is 0.8 s away
    found = state(shared_engine, container)
    assert (found["Status"], found["Running"], found["Restarting"]) == ("restarting", True, True)
    (line,) = call(shared_engine, "GET", f'/containers/json?filters={{"id":["{container}"]}}').body
    assert line["Status"].startswith("Restarting (1) ")
    refused = call(shared_engine, "POST", f"/containers/{container}/exec", {"Cmd": ["true"]})
    assert (refused.status, refused.message) == (
        409,
        f"Container {container} is restarting, wait until the container is running",
    )
    refused = call(shared_engine, "DELETE", f"/containers/{container}")
    assert refused.status == 409
    assert "You cannot remove a restarting container" in refused.message
    assert call(shared_engine, "POST", f"/containers/{container}/start").status == 304
    assert call(shared_engine, "POST", f"/containers/{container}/stop").status == 204
    found = state(shared_engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 1)


def test_a_container_that_was_killed_by_hand_stays_down(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, HostConfig=policy("always"))
    call(shared_engine, "POST", f"/containers/{container}/kill")
    assert state(shared_engine, container)["Status"] == "exited"


def test_another_signal_by_hand_is_no_stop(shared_engine: Engine, run: Make) -> None:
    script = (
        "[ -e /again ] && exec sleep 1000; "
        "trap 'exit 3' HUP; touch /again; while :; do usleep 9000; done"
    )
    container = run("sh", "-c", script, HostConfig=policy("on-failure"))
    shared_engine.succeed(
        "exec", container, "sh", "-c", "while [ ! -e /again ]; do usleep 9000; done"
    )
    call(shared_engine, "POST", f"/containers/{container}/kill?signal=HUP")
    events_until(shared_engine, container, "start", 2)
    assert inspected(shared_engine, container)["RestartCount"] == 1


def test_a_start_that_fails_is_not_tried_for_ever(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "rm /bin/sh; exit 1", HostConfig=policy("always"))
    events_until(shared_engine, container, "fault", 1)
    found = state(shared_engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 127)
    assert found["Fault"]["Kind"] == "command-not-found"


def test_a_restarting_container_is_removed_by_force(shared_engine: Engine, busybox: str) -> None:
    container = create(shared_engine, busybox, "false", HostConfig=policy("always"))
    start(shared_engine, container)
    events_until(shared_engine, container, "die", 3)
    remove(shared_engine, container)
    assert call(shared_engine, "GET", f"/containers/{container}/json").status == 404


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (policy("sometimes"), "unknown policy 'sometimes'; use one of 'no', 'always'"),
        (policy("always", 3), "maximum retry count can only be used with 'on-failure'"),
        (policy("on-failure", -1), "maximum retry count cannot be negative: -1"),
        (
            policy("always", AutoRemove=True),
            "can't create 'AutoRemove' container with restart policy",
        ),
    ],
)
def test_a_policy_that_means_nothing_is_refused(
    shared_engine: Engine, busybox: str, host: dict[str, object], words: str
) -> None:
    refused = call(
        shared_engine, "POST", "/containers/create", {"Image": busybox, "HostConfig": host}
    )
    assert refused.status == 400
    assert words in refused.message


@pytest.mark.needs("docker")
class TestANewEngine:
    """What an engine does with the policies of containers that an earlier one left."""

    @pytest.fixture
    def pulled(self, engine: Engine, busybox: str) -> str:
        engine.succeed("pull", "-q", busybox)
        return busybox

    def test_starts_again_what_ended_while_none_was_there(
        self, engine: Engine, pulled: str
    ) -> None:
        script = (
            "[ -e /again ] && exec sleep 1000; touch /again; "
            "while [ ! -e /go ]; do usleep 9000; done"
        )
        container = create(engine, pulled, "sh", "-c", script, HostConfig=policy("always"))
        start(engine, container)
        shim = leftovers.processes(engine.paths.run / "shims")
        pid = state(engine, container)["Pid"]
        engine.succeed("exec", "-d", container, "sh", "-c", "sleep 1; touch /go")
        engine.kill()
        assert not leftovers.outlived([pid, *shim])
        engine.start()
        events_until(engine, container, "start", 1)
        assert state(engine, container)["Running"]

    def test_leaves_alone_what_was_stopped_by_hand(self, engine: Engine, pulled: str) -> None:
        container = create(engine, pulled, *SLEEP, HostConfig=policy("always"))
        start(engine, container)
        call(engine, "POST", f"/containers/{container}/stop?t=0")
        client.stop(engine.paths)
        engine.start()
        found = state(engine, container)
        assert (found["Status"], found["Restarting"]) == ("exited", False)

    def test_goes_on_waiting_where_the_last_one_was(self, engine: Engine, pulled: str) -> None:
        container = create(engine, pulled, "false", HostConfig=policy("on-failure", 5))
        start(engine, container)
        events_until(engine, container, "die", 4)
        client.stop(engine.paths)
        engine.start()
        events_until(engine, container, "die", 2)
        assert inspected(engine, container)["RestartCount"] == 5
