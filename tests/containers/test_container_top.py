"""The processes of a container, over the API."""

import pytest

from support.calls import Make, call, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox", "root")]


def test_top_lists_the_containers_processes_alone(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "sleep 1234 & exec sleep 4321")
    first = str(state(shared_engine, container)["Pid"])
    shared_engine.succeed("exec", "-d", container, "sleep", "777")
    reply = call(shared_engine, "GET", f"/containers/{container}/top")
    assert reply.body["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    found = {row[-1]: row for row in reply.body["Processes"]}
    assert set(found) == {"sleep 4321", "sleep 1234", "sleep 777"}
    assert found["sleep 4321"][:2] == ["root", first]
    assert found["sleep 1234"][2] == first
    assert {row[5] for row in found.values()} == {"?"}


def test_top_shows_terminals(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000", Tty=True)
    (row,) = call(shared_engine, "GET", f"/containers/{container}/top").body["Processes"]
    assert row[5] == "pts/0"


def test_the_docker_command_shows_them(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    heading, line = shared_engine.succeed("top", container).splitlines()
    assert heading.split()[:3] == ["UID", "PID", "PPID"]
    assert line.endswith("sleep 1000")


@pytest.mark.needs("ps")
def test_options_choose_the_columns(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    reply = call(shared_engine, "GET", f"/containers/{container}/top?ps_args=-eo+pid,args")
    pid = str(state(shared_engine, container)["Pid"])
    assert reply.body == {"Titles": ["PID", "COMMAND"], "Processes": [[pid, "sleep 1000"]]}
    for options, words in (
        ("-eo+args", "find PID field"),
        ("--no-such", "ps --no-such failed: error: "),
    ):
        reply = call(shared_engine, "GET", f"/containers/{container}/top?ps_args={options}")
        assert reply.status == 400
        assert words in reply.message
        assert "\n" not in reply.message


def test_what_does_not_run_has_no_processes(shared_engine: Engine, make: Make) -> None:
    container = make("true")
    reply = call(shared_engine, "GET", f"/containers/{container}/top")
    assert (reply.status, reply.message) == (409, f"Container {container} is not running")
