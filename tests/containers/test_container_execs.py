"""Further processes in a running container."""

import socket
import time

import pytest

from support.calls import Make, call
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


@pytest.fixture
def box(run: Make) -> str:
    return run("sleep", "1000", Env=["FROM=container"], WorkingDir="/tmp", Hostname="box")


def execute(engine: Engine, container: str, *command: str, **options: object) -> tuple[int, bytes]:
    api = engine.client.api
    made = api.exec_create(container, list(command), **options)
    output = api.exec_start(made["Id"])
    return api.exec_inspect(made["Id"])["ExitCode"], output


def test_an_exec_is_in_the_container(shared_engine: Engine, box: str) -> None:
    code, output = execute(shared_engine, box, "sh", "-c", "hostname; pwd; echo $FROM; exit 9")
    assert (code, output) == (9, b"box\n/tmp\ncontainer\n")


def test_user_environment_and_folder_can_be_its_own(shared_engine: Engine, box: str) -> None:
    options = {"user": "33", "environment": ["OWN=x", "FROM=exec"], "workdir": "/var"}
    script = "id -u; pwd; echo $OWN $FROM"
    assert execute(shared_engine, box, "sh", "-c", script, **options) == (0, b"33\n/var\nx exec\n")


def test_an_exec_has_no_more_rights_than_its_container(shared_engine: Engine, box: str) -> None:
    script = "grep -E '^(CapEff|CapBnd|CapInh|CapAmb|Seccomp|NoNewPrivs):' /proc/$1/status"
    one = execute(shared_engine, box, "sh", "-c", script, "sh", "1")[1]
    own = execute(shared_engine, box, "sh", "-c", script, "sh", "self")[1]
    assert one == own
    assert b"Seccomp:\t2" in own


def test_an_exec_has_its_three_descriptors_and_no_other(shared_engine: Engine, box: str) -> None:
    # `ls` opens the fourth itself.
    assert execute(shared_engine, box, "ls", "/proc/self/fd")[1].split() == [b"0", b"1", b"2", b"3"]


def test_an_exec_that_cannot_run_says_why_on_its_stream(shared_engine: Engine, box: str) -> None:
    code, output = execute(shared_engine, box, "no-such-command")
    assert code == 127
    assert b'exec: "no-such-command": executable file not found in $PATH' in output
    assert execute(shared_engine, box, "/etc/passwd")[0] == 126


@pytest.mark.parametrize("folder", ["/absent", "absent", "/bin/sh"])
def test_the_folder_of_an_exec_is_not_made(shared_engine: Engine, box: str, folder: str) -> None:
    code, output = execute(shared_engine, box, "true", workdir=folder)
    assert code == 126
    assert f"cannot enter the working directory {folder}".encode() in output
    assert execute(shared_engine, box, "ls", "-d", "/absent")[0] == 1


def test_a_detached_exec_that_cannot_run_is_refused(shared_engine: Engine, box: str) -> None:
    made = call(shared_engine, "POST", f"/containers/{box}/exec", {"Cmd": ["no-such-command"]})
    reply = call(shared_engine, "POST", f"/exec/{made.body['Id']}/start", {"Detach": True})
    assert reply.status == 400
    assert "executable file not found" in reply.message


def test_an_exec_is_started_once(shared_engine: Engine, box: str) -> None:
    body = {"Cmd": ["sleep", "1000"]}
    made = call(shared_engine, "POST", f"/containers/{box}/exec", body).body["Id"]
    path = f"/exec/{made}"
    assert call(shared_engine, "GET", f"{path}/json").body["ExitCode"] is None
    assert call(shared_engine, "POST", f"{path}/start", {"Detach": True}).status == 200
    again = call(shared_engine, "POST", f"{path}/start", {"Detach": True})
    assert (again.status, again.message) == (409, f"Error: Exec command {made} is already running")
    found = call(shared_engine, "GET", f"{path}/json").body
    assert found["Running"]
    assert found["ContainerID"] == box
    assert found["ProcessConfig"]["entrypoint"] == "sleep"
    assert made in call(shared_engine, "GET", f"/containers/{box}/json").body["ExecIDs"]


def test_an_ended_exec_has_run(shared_engine: Engine, box: str) -> None:
    made = shared_engine.client.api.exec_create(box, ["true"])["Id"]
    shared_engine.client.api.exec_start(made)
    reply = call(shared_engine, "POST", f"/exec/{made}/start", {"Detach": True})
    assert (reply.status, reply.message) == (409, f"Error: Exec command {made} has already run")
    assert call(shared_engine, "GET", f"/containers/{box}/json").body["ExecIDs"] is None


def test_a_terminal_of_an_exec_is_resized(shared_engine: Engine, box: str) -> None:
    script = "until stty size 2>/dev/null | grep '33 99'; do sleep 0.01; done"
    api = shared_engine.client.api
    made = api.exec_create(box, ["sh", "-c", script], tty=True)["Id"]
    output = api.exec_start(made, tty=True, stream=True)
    assert call(shared_engine, "POST", f"/exec/{made}/resize?h=33&w=99").status == 200
    assert b"".join(output) == b"33 99\r\n"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Cmd": []}, 400, "No exec command specified"),
        ({"Cmd": ["true"], "DetachKeys": "ctrl-"}, 400, "Invalid detach keys (ctrl-) provided"),
        ({"Cmd": 3}, 400, "invalid JSON"),
    ],
)
def test_an_exec_that_cannot_be_is_refused(
    shared_engine: Engine, box: str, body: dict[str, object], status: int, words: str
) -> None:
    reply = call(shared_engine, "POST", f"/containers/{box}/exec", body)
    assert reply.status == status
    assert words in reply.message


def test_what_does_not_run_takes_no_exec(shared_engine: Engine, make: Make) -> None:
    container = make("true")
    reply = call(shared_engine, "POST", f"/containers/{container}/exec", {"Cmd": ["true"]})
    assert (reply.status, reply.message) == (409, f"Container {container} is not running")


def test_an_unknown_exec_is_404(shared_engine: Engine) -> None:
    for method, path in (("GET", "json"), ("POST", "start"), ("POST", "resize?h=1&w=1")):
        reply = call(shared_engine, method, f"/exec/absent/{path}")
        assert (reply.status, reply.message) == (404, "No such exec instance: absent")


def test_execs_end_with_their_container(shared_engine: Engine, box: str) -> None:
    api = shared_engine.client.api
    made = api.exec_create(box, ["sh", "-c", "echo up; sleep 1000"])["Id"]
    output = api.exec_start(made, stream=True)
    assert next(output) == b"up\n"
    assert call(shared_engine, "POST", f"/containers/{box}/kill").status == 204
    assert list(output) == []
    assert api.exec_inspect(made)["ExitCode"] == 137


def test_output_never_comes_together_with_the_head(shared_engine: Engine, box: str) -> None:
    # Fails without `read_by_client` in api/hijack.py: docker-py then loses what came with it.
    made = shared_engine.client.api.exec_create(box, ["echo", "whole"])["Id"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(shared_engine.socket))
        body = b'{"Detach": false}'
        head = f"POST /exec/{made}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
        head += (
            f"Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        sock.sendall(head.encode() + body)
        # A slow client: by now output would be waiting behind the head.
        time.sleep(0.3)
        assert sock.recv(65536).endswith(b"\r\n\r\n")
        assert sock.recv(65536)[8:] == b"whole\n"


def test_no_output_of_a_hundred_short_execs_is_lost(shared_engine: Engine, box: str) -> None:
    for _ in range(100):
        assert execute(shared_engine, box, "echo", "whole") == (0, b"whole\n")
