"""The stream that tells of questions, from before the start to the end."""

import json

import pytest

from ipycontainer_runtime.engine.wanted import Inputs
from ipycontainer_runtime.shim.messages import InputWanted
from support.calls import Make, call, ended, start
from support.engines import Engine
from support.inputs import Listener, hijacked, posted, read_upgrade, typing

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

PAUSE = 0.4
NOW = "printf now; read x"
INPUT = {"OpenStdin": True, "StdinOnce": True}
both = pytest.mark.parametrize("tty", [False, True], ids=["pipe", "tty"])


def test_each_answer_is_followed_by_the_next_question(shared_engine: Engine, make: Make) -> None:
    container = make("sh", "-c", "for n in 1 2 3; do printf $n; read x; echo $x; done", **INPUT)
    with typing(shared_engine, container) as sock, Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        for number in "123":
            assert listener.question()["line"] == number
            sock.sendall(b"answer\n")
            assert listener.change() == {"wanted": False}
        assert listener.change() is None
    assert ended(shared_engine, container) == 0


def test_a_question_that_is_over_is_withdrawn(shared_engine: Engine, make: Make) -> None:
    container = make("sh", "-c", "timeout 0.5 cat; sleep 600", **INPUT)
    with Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        listener.question()
        assert listener.change() == {"wanted": False}


def test_the_end_of_the_input_is_no_question(shared_engine: Engine, make: Make) -> None:
    container = make("sh", "-c", "cat; echo over", **INPUT)
    with typing(shared_engine, container) as sock, Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        listener.question()
        sock.shutdown(1)
        assert listener.change() == {"wanted": False}
        assert listener.change() is None


def test_a_line_without_an_end_is_told_by_its_end(shared_engine: Engine, make: Make) -> None:
    script = "head -c 5000000 /dev/zero | tr '\\0' x; printf 'Well? '; read x"
    container = make("sh", "-c", script, **INPUT)
    with Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        line = listener.question()["line"]
        assert (len(line), line[-7:]) == (1024, "xWell? ")


def test_a_name_and_a_line_may_hold_anything(shared_engine: Engine, make: Make) -> None:
    name, line = r"a\033\042\nb", r"\377\033[31m\0"
    script = f"printf '{name}' > /proc/self/comm; printf '{line}'; read x"
    container = make("sh", "-c", script, **INPUT)
    with Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        question = listener.question()
        assert question["line"] == "\ufffd\x1b[31m\0"
        assert question["process"] == 'a\x1b"\nb'


def test_a_client_that_does_not_read_is_kept_little() -> None:
    inputs = Inputs()
    queue = inputs.add(None)
    for number in range(1000):
        inputs.tell(InputWanted(None, True, line=str(number)))
    assert queue.qsize() < 100
    inputs.end(None)
    told = [queue.get_nowait() for _ in range(queue.qsize())]
    assert told[-1] is None
    assert told[-2] == InputWanted(None, True, line="999")


def test_who_begins_to_listen_later_is_told(shared_engine: Engine, run: Make) -> None:
    container = run("cat", **INPUT)
    with Listener(shared_engine, container) as first:
        first.question()
        with Listener(shared_engine, container) as second:
            assert second.question() == {
                "wanted": True,
                "echo": True,
                "line": "",
                "process": "cat",
            }
    with Listener(shared_engine, container) as third:
        third.question()


@both
def test_an_exec_that_waits_is_seen_and_its_container_is_not(
    shared_engine: Engine, run: Make, tty: bool
) -> None:
    container = run("sleep", "600", OpenStdin=True)
    body = {"Cmd": ["sh", "-c", "printf 'Who? '; read x; exit 3"], "AttachStdin": True}
    body |= {"AttachStdout": True, "Tty": tty}
    made = call(shared_engine, "POST", f"/containers/{container}/exec", body).body["Id"]
    with (
        Listener(shared_engine, made, "exec") as listener,
        hijacked(shared_engine, f"/exec/{made}/start", json.dumps({"Tty": tty})) as sock,
    ):
        assert listener.question()["line"] == "Who? "
        sock.sendall(b"me\n")
        assert listener.change() == {"wanted": False}
        assert listener.change() is None
    assert call(shared_engine, "GET", f"/exec/{made}/json").body["ExitCode"] == 3


def test_who_listens_while_an_exec_starts_is_told(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "600")
    body = {"Cmd": ["sh", "-c", NOW], "AttachStdin": True, "AttachStdout": True}
    made = call(shared_engine, "POST", f"/containers/{container}/exec", body).body["Id"]
    # It is begun, and waits for its client to have read the answer.
    with posted(shared_engine, f"/exec/{made}/start") as sock:
        while not call(shared_engine, "GET", f"/exec/{made}/json").body["Running"]:
            pass
        with Listener(shared_engine, made, "exec") as listener:
            assert listener.change() == {"wanted": False}
            read_upgrade(sock)
            assert listener.question()["line"] == "now"


def test_another_process_without_the_input_is_not_the_exec(
    shared_engine: Engine, run: Make
) -> None:
    container = run("cat", OpenStdin=True)
    body = {"Cmd": ["sh", "-c", f"sleep {PAUSE}; {NOW}"], "AttachStdin": True}
    made = call(
        shared_engine, "POST", f"/containers/{container}/exec", {**body, "AttachStdout": True}
    ).body["Id"]
    with Listener(shared_engine, made, "exec") as listener:
        with hijacked(shared_engine, f"/exec/{made}/start"):
            assert listener.question()["line"] == "now"


def test_a_listener_goes_without_a_trace(shared_engine: Engine, run: Make) -> None:
    container = run("cat", **INPUT)
    for _ in range(5):
        with Listener(shared_engine, container) as listener:
            listener.question()
    assert "Traceback" not in shared_engine.log


def test_an_unknown_container_has_no_input(shared_engine: Engine) -> None:
    assert call(shared_engine, "GET", "/ipycontainer/containers/nobody/input").status == 404
    assert call(shared_engine, "GET", "/ipycontainer/exec/nobody/input").status == 404


def test_the_stream_ends_with_a_container_that_never_starts(
    shared_engine: Engine, make: Make
) -> None:
    container = make("/no/such/program", **INPUT)
    with Listener(shared_engine, container) as listener:
        call(shared_engine, "POST", f"/containers/{container}/start")
        assert listener.change() == {"wanted": False}
        assert listener.change() is None
