"""A sandbox from start to end: commands, code, files, commit, and what is left: nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from docker.errors import NotFound

from ipycontainer import AsyncSandbox, Sandbox
from ipycontainer.failures import Failure
from ipycontainer.sandbox import (
    CommandFailed,
    InterpreterLost,
    Opaque,
    PythonError,
    SandboxClosed,
    TimedOut,
)
from support.engines import Engine
from support.hosts import Host

pytestmark = pytest.mark.ordinary_user
SECONDS = 60


def gone(host: Host, container: str) -> None:
    """Wait until a container is removed."""
    try:
        host.client.api.wait(container, timeout=SECONDS, condition="removed")
    except NotFound:
        return


@pytest.mark.needs("root")
def test_a_sandbox_is_the_same_on_every_engine(host: Host, debian_python: str) -> None:
    with Sandbox(debian_python, client=host.client) as box:
        assert box.python("x + 1", x=1) == 2
        assert box.python("x") == 1
        done = box.run(["sh", "-c", "cat; echo no >&2; exit 3"], input="in")
        assert (done.code, done.stdout, done.stderr) == (3, "in", "no\n")
        with pytest.raises(TimedOut, match="was ended"):
            box.run(["sh", "-c", "echo first; sleep 600 & sleep 600"], timeout=0.5)
        sleepers = box.run(["sh", "-c", "cat /proc/[0-9]*/cmdline 2>&1"]).stdout
        assert "sleep\0600" not in str(sleepers)
        box.put(b"content", "/data/deep/file")
        assert box.get("/data/deep/file") == b"content"
        with pytest.raises(InterpreterLost, match="ended with code 7"):
            box.python("import os; os._exit(7)")
        assert box.files.list("/data") == ["deep"]
        container = box.container.id
    gone(host, container)
    with pytest.raises(NotFound):
        host.client.api.inspect_container(container)


def test_the_defaults_give_no_network_and_bound_what_is_used(sandbox: Sandbox) -> None:
    settings = sandbox.container.attrs["HostConfig"]
    assert settings["NetworkMode"] == "none"
    assert settings["Memory"] == 1 << 30
    assert settings["PidsLimit"] == 256
    assert settings["SecurityOpt"] == ["no-new-privileges"]
    assert settings["AutoRemove"] is True


def test_a_command_is_a_list_of_words(warm: Sandbox) -> None:
    assert warm.run(["printf", "%s", "a b;*"]).stdout == "a b;*"
    assert warm.run(["printf", "\\377"], text=False).stdout == b"\xff"
    assert warm.run(["env"], env={"COLOUR": "red"}).stdout.count("COLOUR=red") == 1  # type: ignore[arg-type] # it is text
    assert warm.run(["pwd"], cwd="/usr").stdout == "/usr\n"
    assert warm.run(["id", "-u"], user="nobody").stdout == "65534\n"
    with pytest.raises(Failure, match="no list of words"):
        warm.run("ls -l")
    with pytest.raises(CommandFailed, match="'sh' exited with code 4: why") as failed:
        warm.run(["sh", "-c", "echo why >&2; exit 4"], check=True)
    assert failed.value.completed.code == 4


def test_a_late_command_is_ended_and_has_its_output_so_far(warm: Sandbox) -> None:
    with pytest.raises(TimedOut, match=r"longer than its timeout of 0\.3 s and was ended") as late:
        warm.run(["sh", "-c", "echo begun; sleep 600"], timeout=0.3)
    assert "begun\n".startswith(str(late.value.stdout))  # a busy machine may not have come so far


def test_endless_output_is_an_error_and_not_this_process_memory(
    warm: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipycontainer.sandbox.commands._MOST_OUTPUT", 1 << 20)
    with pytest.raises(Failure, match="wrote more than 1 MB"):
        warm.run(["yes"])


def test_what_code_prints_is_shown_here(warm: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    warm.python(
        "import os, sys\nprint('one')\nos.system('echo two')\nprint('three', file=sys.stderr)"
    )
    shown = capsys.readouterr()
    assert shown.out == "one\ntwo\n"
    assert shown.err == "three\n"


def test_code_is_indented_as_its_call_is_and_a_semicolon_drops_its_value(warm: Sandbox) -> None:
    found = warm.python("""
        y = 2
        y + 1
    """)
    assert found == 3
    assert warm.python("y;") is None


@pytest.mark.parametrize("code", ["input('Name? ')", "import sys; sys.stdin.read()"])
def test_where_nobody_can_be_asked_input_says_so_at_once(warm: Sandbox, code: str) -> None:
    with pytest.raises(PythonError, match="EOFError: nobody can be asked for input here"):
        warm.python(code)


def test_an_error_has_the_lines_of_the_code(warm: Sandbox) -> None:
    code = "def inverse(x):\n    return 1 / x\n\ninverse(0)"
    with pytest.raises(PythonError, match=r"^ZeroDivisionError: division by zero$") as raised:
        warm.python(code)
    steps = raised.value.causes[-1].steps
    assert [(s.line, s.function, s.text) for s in steps] == [
        (4, "", "inverse(0)"),
        (2, "inverse", "return 1 / x"),
    ]
    assert "  code, line 2, in inverse\n    return 1 / x" in raised.value.traceback()


def test_an_error_tells_its_causes(warm: Sandbox) -> None:
    code = "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e"
    with pytest.raises(PythonError) as raised:
        warm.python(code)
    assert [(c.name, c.link) for c in raised.value.causes] == [
        ("KeyError", "cause"),
        ("ValueError", ""),
    ]
    with pytest.raises(PythonError) as malformed:
        warm.python("x = 1\ndef (:")
    assert malformed.value.name == "SyntaxError"
    assert [(s.line, s.text) for s in malformed.value.causes[-1].steps] == [(2, "def (:")]


def test_code_that_ends_the_program_keeps_the_interpreter(warm: Sandbox) -> None:
    warm.python("kept = 5")
    with pytest.raises(PythonError, match="SystemExit: 3"):
        warm.python("import sys; sys.exit(3)")
    assert warm.python("kept") == 5


def test_a_timeout_stops_the_code_and_keeps_its_variables(warm: Sandbox) -> None:
    with pytest.raises(TimedOut, match="was stopped; its variables are kept"):
        warm.python("import time\nheld = 6\ntime.sleep(600)", timeout=0.3)
    assert warm.python("held") == 6


def test_code_that_prints_without_end_is_stopped_too(
    warm: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    warm.python("printing = 7")
    with pytest.raises(TimedOut, match="its variables are kept"):
        warm.python("while True:\n    print('x' * 100)", timeout=0.5)
    assert warm.python("printing") == 7
    assert "xxx" in capsys.readouterr().out


def test_code_that_cannot_be_stopped_loses_its_interpreter_alone(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipycontainer.sandbox.turn._STOPS_WITHIN", 0.2)
    sandbox.put(b"", "/file")
    code = (
        "import time\nwhile True:\n    try:\n        time.sleep(600)\n"
        "    except BaseException:\n        pass"
    )
    with pytest.raises(TimedOut, match="interpreter was ended, and its variables are gone"):
        sandbox.python(code, timeout=0.3)
    assert sandbox.files.exists("/file")
    assert sandbox.python("1") == 1
    processes = sandbox.run(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout
    assert str(processes).split().count("python3") == 1


def test_an_interrupt_stops_the_code_and_keeps_its_variables(warm: Sandbox) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt, match="interpreter and its variables are kept"):
        warm.python("import time\nbefore = 7\ntime.sleep(600)")
    timer.join()
    assert warm.python("before") == 7


@pytest.mark.needs("root")
def test_memory_beyond_the_limit_is_told(warm: Sandbox) -> None:
    with pytest.raises(InterpreterLost, match="passed the memory limit of 256MiB") as lost:
        warm.python("hog = b'x' * (1 << 30)")
    assert lost.value.oom
    assert warm.python("'hog' in globals()") is False


def test_a_container_that_was_removed_is_told(python_engine: Engine, debian_python: str) -> None:
    with Sandbox(debian_python, client=python_engine.client) as box:
        box.python("1")
        box.container.remove(force=True)
        for call in (lambda: box.python("1"), lambda: box.run(["true"])):
            with pytest.raises(SandboxClosed, match="was stopped or removed: make another"):
                call()


def test_a_closed_sandbox_says_so(python_engine: Engine, debian_python: str) -> None:
    box = Sandbox(debian_python, client=python_engine.client)
    with pytest.raises(SandboxClosed, match="was not started"):
        box.run(["true"])
    box.start()
    box.close()
    box.close()
    for call in (lambda: box.python("1"), lambda: box.run(["true"]), box.start):
        with pytest.raises(SandboxClosed, match="was closed: make another"):
            call()


def test_an_image_without_python_runs_commands_and_says_what_it_lacks(
    python_engine: Engine, busybox: str
) -> None:
    with Sandbox(busybox, client=python_engine.client) as box:
        assert box.run(["echo", "here"]).stdout == "here\n"
        box.files.write("/a/b", "text")
        assert box.files.list("/a") == ["b"]
        with pytest.raises(Failure, match="python3 and python were looked for in its PATH"):
            box.python("1")


def test_files_are_read_written_listed_and_removed(warm: Sandbox, tmp_path: Path) -> None:
    files = warm.files
    files.write("/tmp/room/a.txt", "text")
    files.mkdir("/tmp/room/inner")
    assert files.list("/tmp/room") == ["a.txt", "inner"]
    assert files.read_text("/tmp/room/a.txt") == "text"
    assert (files.is_dir("/tmp/room"), files.is_dir("/tmp/room/a.txt")) == (True, False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/one").write_bytes(b"1")
    warm.put(tmp_path / "folder", "/tmp/room/copy")
    assert warm.get("/tmp/room/copy/one") == b"1"
    warm.get("/tmp/room/copy", tmp_path / "back")
    assert (tmp_path / "back/one").read_bytes() == b"1"
    files.remove("/tmp/room")
    assert not files.exists("/tmp/room")
    with pytest.raises(Failure, match="/tmp/room is not in the sandbox"):
        files.read("/tmp/room")
    with pytest.raises(Failure, match="is a folder"):
        files.read("/tmp")


def test_a_commit_has_the_files_and_the_images_own_command(sandbox: Sandbox) -> None:
    sandbox.put(b"new", "/new")
    image = sandbox.commit("mine:1", message="with a file")
    assert image.tags == ["mine:1"]
    assert image.attrs["Config"]["Cmd"] == ["python3"]
    assert not image.attrs["Config"].get("Entrypoint")
    with Sandbox("mine:1", client=sandbox._session.client) as again:
        assert again.get("/new") == b"new"


def test_objects_that_are_no_data_stay_there(warm: Sandbox) -> None:
    found = warm.python("class Room:\n    def __repr__(self): return 'a room'\nRoom()")
    assert isinstance(found, Opaque)
    assert (repr(found), found.type) == ("a room", "Room")
    assert "trusted=True" in found.why


def test_a_trusted_sandbox_sends_pickles(python_engine: Engine, debian_python: str) -> None:
    with Sandbox(debian_python, trusted=True, client=python_engine.client) as box:
        assert box.python("import pathlib; pathlib.PurePosixPath('/a')").name == "a"
        stays = box.python("class Room: pass\nRoom()")
        assert isinstance(stays, Opaque)


def test_a_sandbox_that_nothing_refers_to_is_removed(
    python_engine: Engine, debian_python: str
) -> None:
    box = Sandbox(debian_python, client=python_engine.client).start()
    container = str(box.container.id)
    box.python("1")
    del box
    gc.collect()
    gone(python_engine, container)


@pytest.mark.parametrize("end", ["the end", "SystemExit", "SIGKILL"])
def test_a_sandbox_ends_with_the_process_that_made_it(
    python_engine: Engine, debian_python: str, end: str
) -> None:
    code = (
        "import os, signal, sys, ipycontainer\n"
        "box = ipycontainer.Sandbox(sys.argv[1]).start()\n"
        "box.python('1')\n"
        "print(box.container.id, flush=True)\n"
    )
    code += {"the end": "", "SystemExit": "sys.exit(3)", "SIGKILL": "os.kill(os.getpid(), 9)"}[end]
    done = subprocess.run(
        [sys.executable, "-c", code, debian_python],
        env=python_engine.variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == {"the end": 0, "SystemExit": 3, "SIGKILL": -9}[end], done.stderr
    gone(python_engine, done.stdout.strip())


def test_a_fork_that_ends_leaves_its_parents_sandbox(sandbox: Sandbox) -> None:
    pid = os.fork()
    if pid == 0:
        sandbox._finalizer()
        os._exit(0)
    os.waitpid(pid, 0)
    assert sandbox.python("1 + 1") == 2


def test_code_that_forks_answers_once(warm: Sandbox) -> None:
    assert warm.python("import os\npid = os.fork()\n'here'") == "here"
    assert warm.python("os.waitpid(pid, 0)[1]") == 0


def test_calls_can_be_awaited_side_by_side(python_engine: Engine, debian_python: str) -> None:
    async def both() -> tuple[object, ...]:
        async with AsyncSandbox(debian_python, client=python_engine.client) as box:
            await box.put(b"here", "/file")
            value, done = await asyncio.gather(box.python("1 + 1"), box.run(["cat", "/file"]))
            return value, done.stdout

    assert asyncio.run(both()) == (2, "here")


def test_code_that_is_cancelled_stops_and_keeps_its_variables(
    python_engine: Engine, debian_python: str
) -> None:
    async def cancelled() -> object:
        async with AsyncSandbox(debian_python, client=python_engine.client) as box:
            await box.python("kept = 8")
            going = asyncio.ensure_future(box.python("import time; time.sleep(600)"))
            await asyncio.wait([going], timeout=0.3)
            going.cancel()
            with pytest.raises(asyncio.CancelledError):
                await going
            return await box.python("kept")

    assert asyncio.run(cancelled()) == 8


def test_code_that_is_run_again_is_kept_once(warm: Sandbox) -> None:
    code = "1 / divisor"
    for divisor in (1, 2, 4):
        assert warm.python(code, divisor=divisor) == 1 / divisor
    kept = "len([name for name in linecache.cache if name.startswith('<sandbox')])"
    before = warm.python(f"import linecache\n{kept}")
    for _ in range(5):
        warm.python(code, divisor=8)
    assert warm.python(f"import linecache\n{kept}") == before
    with pytest.raises(PythonError, match="division by zero") as raised:
        warm.python(code, divisor=0)
    assert "code, line 1\n    1 / divisor" in raised.value.traceback()
