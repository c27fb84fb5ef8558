"""Start, exit, wait, stop, kill, remove: over the API, with real containers."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from support.calls import Make, begin, call, create, ended, remove, start, state
from support.engines import Engine

SLEEP = ("sleep", "1000")
# The first process of a pid namespace takes only the signals that it asked for.
OBEDIENT = ("sh", "-c", "trap 'exit 3' TERM USR1; echo ready; while :; do sleep 0.02; done")

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def until_ready(engine: Engine, container: str) -> None:
    connection, response = begin(engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1")
    assert response.read(14)[8:] == b"ready\n"
    connection.close()


def test_a_container_ends_with_its_commands_code(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "exit 7")
    assert ended(shared_engine, container) == 7
    found = state(shared_engine, container)
    assert (found["Status"], found["ExitCode"], found["Pid"]) == ("exited", 7, 0)
    assert found["StartedAt"] < found["FinishedAt"]
    assert not found["OOMKilled"]


def test_a_signal_ends_with_128_and_its_number(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP)
    assert call(shared_engine, "POST", f"/containers/{container}/kill").status == 204
    assert ended(shared_engine, container) == 137


def test_a_started_container_is_running(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP)
    found = state(shared_engine, container)
    assert found["Running"]
    assert found["Pid"] > 0
    assert found["FinishedAt"] == "0001-01-01T00:00:00Z"


def test_starting_twice_and_stopping_twice_are_304(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP)
    assert call(shared_engine, "POST", f"/containers/{container}/start").status == 304
    assert call(shared_engine, "POST", f"/containers/{container}/stop?t=0").status == 204
    assert call(shared_engine, "POST", f"/containers/{container}/stop?t=0").status == 304


def test_a_container_starts_again_with_what_it_wrote(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "echo x >> /count; test $(wc -l < /count) = 2")
    assert ended(shared_engine, container) == 1
    start(shared_engine, container)
    assert ended(shared_engine, container) == 0


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["no-such-command"], 127, 'exec: "no-such-command": executable file not found in $PATH'),
        (["/no/such"], 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_command_that_cannot_run_is_400_and_kept_in_the_state(
    shared_engine: Engine, make: Make, command: list[str], code: int, words: str
) -> None:
    container = make(*command)
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status == 400
    assert words in reply.message
    found = state(shared_engine, container)
    assert (found["Status"], found["ExitCode"]) == ("created", code)
    assert words in found["Error"]


def test_an_auto_removed_container_that_cannot_start_is_removed(
    shared_engine: Engine, make: Make
) -> None:
    container = make("no-such-command", HostConfig={"AutoRemove": True})
    _, waiting = begin(shared_engine, "POST", f"/containers/{container}/wait?condition=removed")
    assert call(shared_engine, "POST", f"/containers/{container}/start").status == 400
    assert json.loads(waiting.read())["StatusCode"] == 127
    assert call(shared_engine, "GET", f"/containers/{container}/json").status == 404


def test_the_headers_of_wait_come_before_the_exit(shared_engine: Engine, make: Make) -> None:
    container = make("sh", "-c", "exit 4")
    _, waiting = begin(shared_engine, "POST", f"/containers/{container}/wait?condition=next-exit")
    assert waiting.status == 200  # read before the start
    start(shared_engine, container)
    assert json.loads(waiting.read())["StatusCode"] == 4


def test_wait_for_not_running_answers_at_once_for_what_never_ran(
    shared_engine: Engine, make: Make
) -> None:
    assert ended(shared_engine, make("true")) == 0


def test_wait_for_removed_answers_after_the_removal(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "exit 4")
    assert ended(shared_engine, container) == 4
    _, waiting = begin(shared_engine, "POST", f"/containers/{container}/wait?condition=removed")
    remove(shared_engine, container)
    assert json.loads(waiting.read())["StatusCode"] == 4


def test_a_condition_that_is_none_is_refused(shared_engine: Engine, make: Make) -> None:
    reply = call(shared_engine, "POST", f"/containers/{make('true')}/wait?condition=never")
    assert reply.status == 400


def test_stop_sends_the_signal_that_the_container_names(shared_engine: Engine, run: Make) -> None:
    container = run(*OBEDIENT, StopSignal="SIGUSR1")
    until_ready(shared_engine, container)
    assert call(shared_engine, "POST", f"/containers/{container}/stop").status == 204
    assert state(shared_engine, container)["ExitCode"] == 3


def test_stop_kills_what_does_not_obey(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, StopTimeout=0)
    assert call(shared_engine, "POST", f"/containers/{container}/stop").status == 204
    assert state(shared_engine, container)["ExitCode"] == 137


def test_restart_stops_and_starts(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP)
    before = state(shared_engine, container)
    assert call(shared_engine, "POST", f"/containers/{container}/restart?t=0").status == 204
    after = state(shared_engine, container)
    assert after["Running"]
    assert after["Pid"] != before["Pid"]


def test_a_restart_keeps_a_container_that_is_removed_at_its_end(
    shared_engine: Engine, run: Make
) -> None:
    host = {"NetworkMode": "none", "AutoRemove": True}
    container = run("sh", "-c", "echo x >> /count; sleep 1000", HostConfig=host)
    for count in ("1", "2"):
        until = "until [ $(wc -l < /count) = $0 ]; do sleep 0.01; done"
        shared_engine.succeed("exec", container, "sh", "-c", until, count)
        # Its overlay is volatile: it cannot be mounted twice without the snapshotter's care.
        assert call(shared_engine, "POST", f"/containers/{container}/restart?t=0").status == 204
    removed = call(shared_engine, "POST", f"/containers/{container}/stop?t=0").status
    assert removed == 204
    assert call(shared_engine, "GET", f"/containers/{container}/json").status == 404


def test_a_container_shares_the_hosts_network_and_names_and_so_do_its_execs(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*SLEEP, HostConfig={"NetworkMode": "host", "UTSMode": "host"})
    for kind, shared in (("net", True), ("uts", True), ("pid", False), ("ipc", False)):
        found = shared_engine.succeed("exec", container, "readlink", f"/proc/self/ns/{kind}")
        assert (found == os.readlink(f"/proc/self/ns/{kind}")) is shared


def test_a_signal_reaches_the_container(shared_engine: Engine, run: Make) -> None:
    container = run(*OBEDIENT)
    until_ready(shared_engine, container)
    path = f"/containers/{container}/kill?signal=SIGUSR1"
    assert call(shared_engine, "POST", path).status == 204
    assert ended(shared_engine, container) == 3


def test_what_does_not_run_cannot_be_killed_or_resized(shared_engine: Engine, make: Make) -> None:
    container = make("true", name="idle")
    killed = call(shared_engine, "POST", "/containers/idle/kill")
    assert killed.status == 409
    expected = f"Cannot kill container: idle: Container {container} is not running"
    assert killed.message == expected
    resized = call(shared_engine, "POST", "/containers/idle/resize?h=1&w=1")
    assert (resized.status, resized.message) == (409, f"Container {container} is not running")


@pytest.mark.parametrize("query", ["", "h=a&w=1", "h=1", "h=1&w=70000"])
def test_a_size_that_is_none_is_refused(shared_engine: Engine, run: Make, query: str) -> None:
    container = run(*SLEEP, Tty=True)
    assert call(shared_engine, "POST", f"/containers/{container}/resize?{query}").status == 400


def test_a_running_container_is_removed_only_by_force(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP)
    refused = call(shared_engine, "DELETE", f"/containers/{container}")
    assert refused.status == 409
    assert refused.message == (
        f"You cannot remove a running container {container}. Stop the container before "
        "attempting removal or force remove"
    )
    assert call(shared_engine, "DELETE", f"/containers/{container}?force=1").status == 204
    assert call(shared_engine, "GET", f"/containers/{container}/json").status == 404


def test_links_are_refused_by_name(shared_engine: Engine, make: Make) -> None:
    assert call(shared_engine, "DELETE", f"/containers/{make('true')}?link=1").status == 501


def test_an_auto_removed_container_is_gone_once_its_removal_is_told(
    shared_engine: Engine, make: Make
) -> None:
    container = make("sh", "-c", "exit 5", HostConfig={"AutoRemove": True})
    _, waiting = begin(shared_engine, "POST", f"/containers/{container}/wait?condition=removed")
    start(shared_engine, container)
    assert json.loads(waiting.read())["StatusCode"] == 5
    assert call(shared_engine, "GET", f"/containers/{container}/json").status == 404


def test_a_name_is_taken_until_its_container_is_removed(
    shared_engine: Engine, busybox: str, make: Make
) -> None:
    container = make("true", name="taken")
    settings = {"Image": busybox, "HostConfig": {"NetworkMode": "none"}}
    refused = call(shared_engine, "POST", "/containers/create?name=taken", settings)
    assert refused.status == 409
    assert refused.message == (
        f'Conflict. The container name "/taken" is already in use by container "{container}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    remove(shared_engine, "taken")
    remove(shared_engine, create(shared_engine, busybox, "true", name="taken"))


def test_a_container_can_be_renamed(shared_engine: Engine, make: Make) -> None:
    container = make("true", name="before")
    make("true", name="other")
    path = f"/containers/{container}/rename?name="
    assert call(shared_engine, "POST", path + "after").status == 204
    assert call(shared_engine, "GET", "/containers/after/json").body["Name"] == "/after"
    assert call(shared_engine, "GET", "/containers/before/json").status == 404
    assert call(shared_engine, "POST", path + "other").status == 409
    assert call(shared_engine, "POST", path + "a/b").status == 400


def test_an_unknown_image_is_404_and_leaves_nothing(shared_engine: Engine) -> None:
    reply = call(shared_engine, "POST", "/containers/create?name=nothing", {"Image": "absent"})
    assert (reply.status, reply.message) == (404, "No such image: absent:latest")
    assert call(shared_engine, "GET", "/containers/nothing/json").status == 404


def test_an_unknown_container_is_404_everywhere(shared_engine: Engine) -> None:
    for method, path in (
        ("GET", "json"),
        ("POST", "start"),
        ("POST", "stop"),
        ("POST", "kill"),
        ("POST", "wait"),
        ("POST", "rename?name=xx"),
        ("POST", "resize?h=1&w=1"),
        ("GET", "logs?stdout=1"),
        ("POST", "attach"),
        ("GET", "changes"),
    ):
        reply = call(shared_engine, method, f"/containers/absent/{path}")
        assert (reply.status, reply.message) == (404, "No such container: absent"), path


def test_what_happens_to_a_container_is_told(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "exit 2", Labels={"k": "v"})
    ended(shared_engine, container)
    remove(shared_engine, container)
    filters = json.dumps({"container": [container]})
    events = shared_engine.client.api.events(since=1, until=2**33, filters=json.loads(filters))
    told = []
    for event in events:
        told.append(json.loads(event))
        if told[-1]["Action"] == "destroy":
            break
    events.close()
    assert [event["Action"] for event in told] == ["create", "start", "die", "destroy"]
    died = told[2]["Actor"]["Attributes"]
    assert died["exitCode"] == "2"
    assert died["k"] == "v"


def test_twenty_containers_run_at_once(shared_engine: Engine, make: Make) -> None:
    made = [make("sh", "-c", f"exit {number}") for number in range(20)]
    waits = []
    for container in made:
        path = f"/containers/{container}/wait?condition=next-exit"
        waits.append(begin(shared_engine, "POST", path)[1])
    for container in made:
        start(shared_engine, container)
    codes = [json.loads(response.read())["StatusCode"] for response in waits]
    assert codes == list(range(20))


def test_a_removal_that_meets_a_start_ends_what_was_started(
    shared_engine: Engine, make: Make
) -> None:
    for _ in range(10):
        container = make(*SLEEP)
        with ThreadPoolExecutor(2) as pool:
            started = pool.submit(call, shared_engine, "POST", f"/containers/{container}/start")
            path = f"/containers/{container}?force=1"
            removed = pool.submit(call, shared_engine, "DELETE", path)
        assert removed.result().status == 204
        assert started.result().status in (204, 404, 409)
        assert call(shared_engine, "GET", f"/containers/{container}/json").status == 404


@pytest.mark.parametrize("name", ["UPPER", "host@sha256:0000", "a//b", "x@md5:00"])
def test_a_name_that_no_image_can_have_is_400_as_it_was_written(
    shared_engine: Engine, name: str
) -> None:
    # A client that is told 404 announces that it pulls the image.
    repository, _, digest = name.partition("@")  # docker-py sends a digest as a tag
    for method, path, body in (
        ("POST", "/containers/create", {"Image": name}),
        ("GET", f"/images/{quote(name)}/json", None),
        ("POST", f"/images/create?fromImage={quote(repository)}&tag={digest}", None),
    ):
        reply = call(shared_engine, method, path, body)
        assert reply.status == 400, reply.body
        assert reply.message.startswith("invalid reference format: ")
        assert name in reply.message


def test_a_digest_that_no_capture_has_is_refused_and_captures_nothing(
    shared_engine: Engine,
) -> None:
    # Fails where `host@sha256:…` names whatever is captured then.
    name = f"host@sha256:{64 * '0'}"
    reply = call(shared_engine, "POST", f"/images/create?fromImage={name}")
    assert reply.status == 400
    assert f"{name} is not here" in reply.message
    assert call(shared_engine, "GET", f"/images/{name}/json").status == 404
