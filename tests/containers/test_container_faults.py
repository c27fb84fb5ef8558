"""Why a run ended badly, as data; time limits; an init that reaps; limits that must bind."""

import json
import os
import time

import pytest

from ipycontainer_runtime.engine.annotations import REQUIRE_LIMITS, TIMEOUT
from support.calls import Make, call, create, ended, logged, remove, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]


def waited(engine: Engine, container: str) -> dict[str, object]:
    body = call(engine, "POST", f"/containers/{container}/wait").body
    assert isinstance(body, dict)
    return body


def died(engine: Engine, container: str, event: str = "die") -> dict[str, str]:
    """Return the attributes of the event of a container's, or its exec's, end, which has come."""
    filters = json.dumps({"container": [container], "event": [event]}).replace(" ", "")
    told = call(engine, "GET", f"/events?since=1&until={time.time():.6f}&filters={filters}").body
    attributes = told["Actor"]["Attributes"]
    assert isinstance(attributes, dict)
    return attributes


@pytest.mark.needs("root")
def test_a_run_that_passed_its_memory_limit_says_so(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "exec tail /dev/zero", HostConfig={"Memory": 16 << 20})
    fault = waited(shared_engine, container)["Fault"]
    peak = fault.pop("Peak")
    assert fault == {"Kind": "oom", "Signal": 9}
    assert 8 << 20 < peak <= 16 << 20
    attributes = died(shared_engine, container)
    told = (attributes["fault"], attributes["signal"], attributes["peak"])
    assert told == ("oom", "9", str(peak))
    assert state(shared_engine, container)["Fault"]["Peak"] == peak


def test_a_run_that_a_signal_ended_says_which(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    call(shared_engine, "POST", f"/containers/{container}/kill")
    assert waited(shared_engine, container)["Fault"] == {"Kind": "killed", "Signal": 9}
    assert state(shared_engine, container)["Fault"] == {
        "Kind": "killed",
        "Message": "killed by signal 9 (SIGKILL)",
        "Signal": 9,
    }


def test_a_command_that_fails_by_itself_is_no_fault(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "exit 137")
    assert waited(shared_engine, container) == {"StatusCode": 137}
    assert "Fault" not in state(shared_engine, container)


@pytest.mark.parametrize(
    ("command", "kind", "code"),
    [("nowhere", "command-not-found", 127), ("/etc", "command-not-executable", 126)],
)
def test_a_command_that_cannot_be_executed_is_named(
    shared_engine: Engine, make: Make, command: str, kind: str, code: int
) -> None:
    container = make(command)
    refused = call(shared_engine, "POST", f"/containers/{container}/start")
    assert refused.body["Fault"]["Kind"] == kind
    found = state(shared_engine, container)
    assert (found["ExitCode"], found["Fault"]["Kind"]) == (code, kind)


@pytest.mark.parametrize(
    ("command", "folder", "fault"),
    [
        ("kill -9 $$", "", {"Kind": "killed", "Signal": 9}),
        ("exit 137", "", {}),
        ("true", "/etc/passwd", {"Kind": "start-failed", "Step": "enter the working directory"}),
    ],
)
def test_an_exec_tells_why_it_ended_badly(
    shared_engine: Engine, run: Make, command: str, folder: str, fault: dict[str, object]
) -> None:
    api, container = shared_engine.client.api, run("sleep", "1000")
    made = api.exec_create(container, ["sh", "-c", command], workdir=folder)["Id"]
    api.exec_start(made)
    told = api.exec_inspect(made).get("Fault", {})
    told.pop("Message", None)
    assert told == fault
    attributes = died(shared_engine, container, "exec_die")
    assert (attributes.get("fault"), attributes.get("step")) == (
        fault.get("Kind"),
        fault.get("Step"),
    )


def test_an_exec_whose_command_is_nowhere_says_so(shared_engine: Engine, run: Make) -> None:
    api, container = shared_engine.client.api, run("sleep", "1000")
    made = api.exec_create(container, ["nowhere"])["Id"]
    api.exec_start(made)
    fault = api.exec_inspect(made)["Fault"]
    assert (fault["Kind"], fault["Step"]) == ("command-not-found", "execute")


def test_a_start_that_fails_names_its_step(shared_engine: Engine, make: Make) -> None:
    container = make("true", User="nobody-here")
    refused = call(shared_engine, "POST", f"/containers/{container}/start")
    assert refused.body["Fault"]["Kind"] == "start-failed"
    assert refused.body["Fault"]["Step"] == "find the user"


@pytest.mark.parametrize(
    ("host", "message", "step"),
    [
        (
            {"Tmpfs": {"/t": "size=banana"}},
            "cannot mount a new tmpfs at /t",
            "mount a new tmpfs at /t",
        ),
        (
            {"Sysctls": {"net.none.such": "1"}},
            "cannot set sysctl net.none.such=1: no such file",
            "set the kernel parameter net.none.such to 1",
        ),
    ],
)
def test_an_operation_that_fails_is_told_in_words(
    shared_engine: Engine, make: Make, host: dict[str, object], message: str, step: str
) -> None:
    container = make("true", HostConfig={"NetworkMode": "none", **host})
    refused = call(shared_engine, "POST", f"/containers/{container}/start")
    assert refused.message.startswith(message)
    assert "Errno" not in refused.message
    assert refused.body["Fault"]["Step"].startswith(step)


def test_a_container_that_may_run_for_so_long_is_stopped(shared_engine: Engine, run: Make) -> None:
    host = {"Annotations": {TIMEOUT: "0.3"}}
    container = run(
        "sh", "-c", "trap 'echo time; exit 5' TERM; while :; do usleep 9000; done", HostConfig=host
    )
    assert waited(shared_engine, container) == {
        "StatusCode": 5,
        "Fault": {"Kind": "timeout", "Signal": 0},
    }
    assert logged(shared_engine, container) == b"time\n"


def test_a_container_that_ends_in_time_is_not_stopped(shared_engine: Engine, run: Make) -> None:
    container = run("true", HostConfig={"Annotations": {TIMEOUT: "1000"}})
    assert waited(shared_engine, container) == {"StatusCode": 0}


def test_a_new_engine_keeps_the_time(engine: Engine, busybox: str) -> None:
    engine.client.images.pull(busybox)
    host = {"Annotations": {TIMEOUT: "1"}}
    container = create(engine, busybox, "sleep", "1000", HostConfig=host, StopTimeout=0)
    start(engine, container)
    engine.kill()
    engine.start()
    assert waited(engine, container)["Fault"] == {"Kind": "timeout", "Signal": 9}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (TIMEOUT, "soon", "invalid timeout 'soon': write seconds, such as 30 or 0.5"),
        (TIMEOUT, "-1", "invalid timeout '-1'"),
        (TIMEOUT, "nan", "invalid timeout 'nan'"),
        (REQUIRE_LIMITS, "yes", "write true or false"),
        ("io.ipycontainer.tiemout", "1", "unknown annotation 'io.ipycontainer.tiemout'"),
    ],
)
def test_an_annotation_of_ours_that_means_nothing_is_refused(
    shared_engine: Engine, busybox: str, name: str, value: str, words: str
) -> None:
    body = {"Image": busybox, "HostConfig": {"Annotations": {name: value}}}
    refused = call(shared_engine, "POST", "/containers/create", body)
    assert refused.status == 400
    assert words in refused.message


def test_limits_that_cannot_bind_are_refused_where_they_are_required(
    shared_engine: Engine, busybox: str
) -> None:
    host = {"Memory": 64 << 20, "Annotations": {REQUIRE_LIMITS: "true"}}
    body = {"Image": busybox, "HostConfig": host}
    reply = call(shared_engine, "POST", "/containers/create", body)
    if os.getuid() == 0:
        assert (reply.status, reply.body["Warnings"][:-1]) == (201, [])
        remove(shared_engine, reply.body["Id"])
    else:  # has no cgroup of its own here
        assert reply.status == 400
        assert reply.message.startswith(
            "limits are required that cannot be set here (memory limit, swap limit): leave them"
        )


def test_limits_that_a_later_engine_cannot_set_are_refused_at_the_start(
    engine: Engine, busybox: str
) -> None:
    engine.client.images.pull(busybox)
    container = create(engine, busybox, "true", HostConfig={"Memory": 64 << 20})
    engine.kill()
    path = engine.paths.root / "containers" / container / "config.json"
    record = json.loads(path.read_text())
    # As if an engine with limits had made it: here only root's has them.
    record["host_config"]["Annotations"] = {REQUIRE_LIMITS: "true"}
    path.write_text(json.dumps(record))
    engine.start()
    reply = call(engine, "POST", f"/containers/{container}/start")
    if os.getuid() == 0:
        assert reply.status == 204
    else:
        assert reply.status == 400
        assert "limits are required that cannot be set here" in reply.message
        assert state(engine, container)["Fault"]["Kind"] == "start-failed"


INIT = {"Init": True}


def test_an_init_is_the_parent_of_the_command(shared_engine: Engine, run: Make) -> None:
    container = run(
        "sh", "-c", "cat /proc/1/comm /proc/1/cmdline; echo; echo $$; exit 6", HostConfig=INIT
    )
    assert ended(shared_engine, container) == 6
    lines = logged(shared_engine, container).split(b"\n")
    assert lines[1].strip(b"\0") == b"init"
    assert lines[2] == b"2"


def test_an_init_passes_signals_on_and_reaps_orphans(shared_engine: Engine, run: Make) -> None:
    script = "trap 'echo HUP; exit 3' HUP; (true &); echo ready; while :; do usleep 9000; done"
    container = run("sh", "-c", script, HostConfig=INIT)
    while logged(shared_engine, container) != b"ready\n":
        pass
    # The shell's own children are dead for a moment too; an orphan that nobody reaps stays.
    none = "while grep -q 'State:.Z' /proc/[0-9]*/status; do usleep 1000; done"
    shared_engine.succeed("exec", container, "timeout", "10", "sh", "-c", none)
    call(shared_engine, "POST", f"/containers/{container}/kill?signal=HUP")
    assert ended(shared_engine, container) == 3
    assert logged(shared_engine, container) == b"ready\nHUP\n"


def test_a_signal_that_ends_the_command_is_the_code_of_its_init(
    shared_engine: Engine, run: Make
) -> None:
    container = run("sh", "-c", "kill -SEGV $$", HostConfig=INIT)
    assert waited(shared_engine, container) == {
        "StatusCode": 139,
        "Fault": {"Kind": "killed", "Signal": 11},
    }


def test_an_init_cannot_tell_a_signal_from_a_code_and_says_so(
    shared_engine: Engine, run: Make
) -> None:
    container = run("sh", "-c", "exit 137", HostConfig=INIT)
    ended(shared_engine, container)
    assert state(shared_engine, container)["Fault"]["Message"] == (
        "killed by signal 9 (SIGKILL), or it said so itself by exit code 137"
    )


def test_nobody_in_the_container_looks_into_its_init(shared_engine: Engine, run: Make) -> None:
    script = (
        "for f in exe environ mem maps; do cat /proc/1/$f >/dev/null 2>&1 && echo $f; done; true"
    )
    container = run("sh", "-c", script, HostConfig=INIT)
    assert ended(shared_engine, container) == 0
    assert logged(shared_engine, container) == b""


def test_a_command_that_an_init_cannot_execute_is_named(shared_engine: Engine, make: Make) -> None:
    container = make("nowhere", HostConfig=INIT)
    refused = call(shared_engine, "POST", f"/containers/{container}/start")
    assert refused.body["Fault"]["Kind"] == "command-not-found"
