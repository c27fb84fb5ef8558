"""`build` and `debug` in cells and on the command line, against Docker's engine and ours."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cells import COMMAND, IMAGE, SECONDS, Box, Kernel, Message, Shell, errors, streamed

from ipycontainer.building.failed import BuildFailure
from ipycontainer.failures import Failure, Interrupted, Usage

Command = Callable[..., subprocess.CompletedProcess[bytes]]
# RUN has no network here: neither engine has one to give.
ALONE = "--network none"


@pytest.fixture(autouse=True)
def alone(box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of one's own to work in, and nothing remembered of other builds."""
    if box.name == "engine" and "build" not in extensions(box):
        pytest.skip("this engine builds nothing yet")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def extensions(box: Box) -> set[str]:
    api = box.client.api
    return set(api._get(api._url("/ipycontainer")).json().get("Extensions", ()))


def printed(box: Box, image: str, *command: str) -> str:
    """What a command prints in an image."""
    output = box.client.containers.run(image, list(command), network_mode="none", remove=True)
    return bytes(output).decode()


def test_a_cell_is_a_dockerfile_and_an_edited_line_is_where_it_begins_again(
    box: Box, shell: Shell
) -> None:
    cell = (
        f"%%container build -t edited {ALONE}\nFROM {IMAGE}\nRUN echo one > /1\nRUN echo two > /2"
    )
    ran = shell.run(cell)
    assert ran.error is None, ran
    assert "RUN echo one > /1" in ran.out
    assert "Built edited (" in ran.out
    assert printed(box, "edited", "cat", "/1", "/2") == "one\ntwo\n"
    again = shell.run(cell.replace("echo two", "echo 2"))
    told = {line.split(" ", 1)[1] for line in again.out.splitlines() if " CACHED" in line}
    assert told == {"CACHED"}
    assert again.out.count("CACHED") >= 1
    assert "reused" in again.out
    assert printed(box, "edited", "cat", "/1", "/2") == "one\n2\n"


def test_a_failed_step_shows_its_line_of_the_cell_and_the_end_of_its_output(
    box: Box, shell: Shell
) -> None:
    body = "FROM busybox\nENV A=b\nRUN echo before; ls /nowhere; exit 3\nRUN echo never"
    ran = shell.run(f"%%container build -t failing {ALONE}\n{body}")
    assert isinstance(ran.error, BuildFailure)
    assert ran.error.code == 3
    assert ran.error.image
    assert "before" in ran.error.log
    assert "line 4 of the cell" in str(ran.error)
    assert "exited with code 3" in str(ran.error)
    assert "> 4 | RUN echo before" in ran.out
    assert "  3 | ENV A=b" in ran.out
    assert "Traceback" not in ran.out


def test_debug_is_in_the_state_before_the_step(box: Box, shell: Shell) -> None:
    body = (
        "FROM busybox\nARG WHO=nobody\nENV A=b\nWORKDIR /srv/work\nRUN echo kept > file\n"
        "RUN echo lost > other; exit 4"
    )
    failed = shell.run(f"%%container build -t failing --build-arg WHO=me {ALONE}\n{body}")
    assert "`%container debug failing` opens a shell" in str(failed.error)
    look = "'echo $A $WHO $PWD $(cat file) $(ls)'"
    ran = shell.run(f"%container debug failing -c {look}")
    assert ran.out == "b me /srv/work kept file\n", ran
    assert "by hand: %container run --rm -e WHO=me" in ran.err
    by_hand = ran.err.partition("by hand: ")[2].splitlines()[0]
    assert shell.run(by_hand).out == ran.out
    assert shell.run(f"%%container debug\necho {look[1:-1].split(' ', 1)[1]}").out == ran.out
    assert isinstance(shell.run("%container debug other").error, Failure)


def test_a_body_that_is_no_dockerfile_names_the_line_of_the_cell(box: Box, shell: Shell) -> None:
    ran = shell.run(f"%%container build\n\nFROM {IMAGE}\nRNU echo")
    assert isinstance(ran.error, BuildFailure)
    assert "line 4 of the cell: unknown instruction: RNU" in str(ran.error)
    assert "> 4 | RNU echo" in ran.out


def test_without_a_path_copy_takes_the_notebooks_folder_and_says_so(
    box: Box, shell: Shell, alone: Path
) -> None:
    (alone / "here").write_text("content")
    (alone / "not").write_text("no")
    (alone / ".dockerignore").write_text("not\n")
    ran = shell.run(f"%%container build -t copied {ALONE}\nFROM {IMAGE}\nCOPY . /in/")
    assert ran.error is None, ran
    assert f"COPY takes files from {alone}" in ran.err
    copied = printed(box, "copied", "find", "/in", "-type", "f").split()
    assert sorted(copied) == ["/in/.dockerignore", "/in/here"]


def test_arguments_come_from_the_line_the_notebook_and_the_environment(
    box: Box, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_ENV", "environment")
    shell.names.update(mine="a {b} $c", NUMBER=7)
    body = f"FROM {IMAGE}\nARG A\nARG NUMBER\nARG FROM_ENV\nENV X=$A Y=$NUMBER Z=$FROM_ENV"
    flags = "--build-arg A={mine} --build-arg NUMBER --build-arg FROM_ENV --label l=1"
    assert shell.run(f"%%container build -t told {flags}\n{body}").error is None
    config = box.client.api.inspect_image("told")["Config"]
    assert {"X=a {b} $c", "Y=7", "Z=environment"} <= set(config["Env"])
    assert config["Labels"] == {"l": "1"}
    unknown = shell.run(f"%%container build --build-arg A={{nothing}}\n{body}")
    assert isinstance(unknown.error, Usage)


def test_a_target_ends_the_build_and_quiet_says_the_id_alone(
    box: Box, shell: Shell, alone: Path
) -> None:
    body = f"FROM {IMAGE} AS first\nENV A=1\nFROM {IMAGE}\nENV A=2"
    ran = shell.run(f"%%container build -q -t one:1 -t two --target first --iidfile id\n{body}")
    assert ran.error is None, ran
    found = box.client.api.inspect_image("one:1")
    assert ran.out == f"{found['Id']}\n"
    assert (alone / "id").read_text() == found["Id"]
    assert box.client.api.inspect_image("two:latest")["Id"] == found["Id"]
    assert "A=1" in found["Config"]["Env"]


def test_a_folder_its_dockerfile_elsewhere_and_standard_input(
    box: Box, command: Command, alone: Path
) -> None:
    (alone / "context/sub").mkdir(parents=True)
    (alone / "context/sub/file").write_text("content")
    (alone / "Other").write_text(f"FROM {IMAGE}\nCOPY . /in\n")
    done = command("build", "-t", "folder", "-f", "Other", "context")
    assert done.returncode == 0, done.stderr
    assert printed(box, "folder", "find", "/in", "-type", "f") == "/in/sub/file\n"
    piped = command("build", "-q", "-", stdin=f"FROM {IMAGE}\nENV A=piped\n".encode())
    assert piped.returncode == 0, piped.stderr
    image = piped.stdout.decode().strip()
    assert "A=piped" in box.client.api.inspect_image(image)["Config"]["Env"]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(alone / "context", ".")
        tar.add(alone / "Other", "Dockerfile")
    assert command("build", "-t", "tar", "-", stdin=archive.getvalue()).returncode == 0
    assert "/in/sub/file" in printed(box, "tar", "find", "/in")


def test_the_command_line_fails_with_the_steps_code_and_shows_the_lines(
    box: Box, command: Command, alone: Path
) -> None:
    (alone / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo said; exit 9\n")
    done = command("build", "--network", "none", "-t", "failing", ".")
    assert done.returncode == 9
    assert done.stdout == b""
    assert b"> 2 | RUN echo said; exit 9" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"ipycontainer: [2/2] RUN echo said")
    entered = command("debug", "-c", "echo entered; exit 5")
    assert (entered.returncode, entered.stdout) == (5, b"entered\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--output", "x", "."), "--output"),
        (("nowhere",), "no folder nowhere"),
        ((), "PATH"),
        ((".",), "no Dockerfile in"),
        (("-f", "none", "."), "no Dockerfile none"),
        (("--build-arg", "=x", "."), "--build-arg '=x'"),
        (("--add-host", "x", "."), "--add-host 'x'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    box: Box, command: Command, alone: Path, arguments: tuple[str, ...], told: str
) -> None:
    if any(word.startswith("--") for word in arguments):
        (alone / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    done = command("build", *arguments)
    assert done.returncode != 0
    assert told in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_secrets_go_to_no_other_engine(box: Box, command: Command, alone: Path) -> None:
    if box.name == "engine":
        pytest.skip("ipycontainer's own engine takes them")
    (alone / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    (alone / "token").write_text("hidden")
    done = command("build", "--secret", "id=token", ".")
    assert done.returncode == 1
    assert b"takes no secrets" in done.stderr


def test_steps_are_drawn_while_they_run_and_saved_with_their_logs(box: Box, kernel: Kernel) -> None:
    drawn: list[Message] = []
    messages = kernel.run(
        f"%%container build --no-cache -t drawn {ALONE}\nFROM {IMAGE}\n"
        "RUN echo '<b>text</b>'; printf '10%%\\r100%%\\n'; sleep 0.5",
        on=drawn.append,
    )
    assert errors(messages) == []
    first = [m for m in messages if m.kind == "display_data"]
    assert len(first) == 2  # what is done, and what goes on
    last = {
        m.content["transient"]["display_id"]: m.content["data"]
        for m in messages
        if m.kind in ("display_data", "update_display_data")
    }
    upper, lower = last.values()
    assert "<summary" in upper["text/html"]
    assert "&lt;b&gt;text&lt;/b&gt;\n100%" in upper["text/html"]
    assert "    100%" in upper["text/plain"]
    assert "Built drawn (" in lower["text/plain"]
    going_on = [m.content["data"]["text/plain"] for m in messages if "data" in m.content]
    assert any("<b>text</b>" in text and "Built" not in text for text in going_on)


def test_an_interrupted_build_says_what_is_kept(box: Box, kernel: Kernel) -> None:
    def interrupt(message: Message) -> None:
        text = message.content.get("data", {}).get("text/plain", "")
        if "    ready" in text and not interrupted:
            interrupted.append(text)
            kernel.interrupt()

    interrupted: list[str] = []
    messages = kernel.run(
        f"%%container build --no-cache {ALONE}\nFROM {IMAGE}\nRUN echo ready; sleep 600",
        on=interrupt,
    )
    assert errors(messages)[0]["ename"] == Interrupted.__name__
    assert streamed(kernel.run("print('alive')"), "stdout") == "alive\n"


def test_long_logs_are_cut_and_all_of_them_can_be_had(box: Box, kernel: Kernel) -> None:
    messages = kernel.run(f"%%container build --no-cache {ALONE}\nFROM {IMAGE}\nRUN seq 20000")
    assert errors(messages) == []
    shown = [m.content["data"]["text/html"] for m in messages if "data" in m.content]
    assert all(len(html) < 100_000 for html in shown)
    assert any("19,500 lines before" in html for html in shown)
    told = kernel.run("print(len(_output), _output.lines(99, 1)[0].split()[-1])")
    assert streamed(told, "stdout") == "20000 100\n"


def test_stages_and_names_are_completed(box: Box, kernel: Kernel, alone: Path) -> None:
    (alone / "Dockerfile").write_text(f"FROM {IMAGE} AS compile\nFROM {IMAGE} AS final\n")
    kernel.run(f"import os; os.chdir({str(alone)!r})")
    found = kernel.complete("%container build --target ")["matches"]
    assert found == ["compile", "final"]
    body = f"\nFROM {IMAGE} AS cell\n"
    assert kernel.complete("%%container build --target ", body)["matches"] == ["cell"]
    assert kernel.complete("%container build -f ")["matches"] == ["Dockerfile"]
    assert kernel.complete(f"%container build {alone.parent}/wo")["matches"] == [f"{alone}/"]
    assert "--build-arg" in kernel.complete("%container build --build")["matches"]


def test_a_terminal_shows_each_step_once_it_is_done(box: Box, alone: Path) -> None:
    import pty

    (alone / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo said\n")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "build", "--no-cache", "--network", "none", "-t", "screen", "."],
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # Linux says EIO where a terminal has nobody left
        pass
    os.close(master)
    assert process.wait(SECONDS) == 0
    assert b"RUN echo said" in shown
    assert b"Built screen (" in shown


def test_a_secret_reaches_its_step_alone_and_mounts_that_debug_lacks_are_told(
    box: Box, shell: Shell, alone: Path
) -> None:
    if box.name == "dockerd":
        pytest.skip("Docker's classic builder has no mounts")
    (alone / "token").write_text("hidden word")
    body = (
        f"FROM {IMAGE}\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /count\n"
        "RUN --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/cached exit 6"
    )
    failed = shell.run(f"%%container build --secret id=token,src=token {ALONE}\n{body}")
    assert isinstance(failed.error, BuildFailure), failed
    assert failed.error.code == 6
    look = "'cat /count; ls /run/secrets/token; grep -c /scratch /proc/mounts'"
    ran = shell.run(f"%container debug -c {look}")
    assert ran.out.split("\n")[:2] == ["11", "1"]
    assert "its mount is not there: cache at /cached" in ran.err
    [kept] = (alone.parent / "state").rglob("*.json")
    assert "hidden word" not in failed.out + ran.out + kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_steps_of_stages_that_run_side_by_side_are_told_apart(box: Box, shell: Shell) -> None:
    if box.name == "dockerd":
        pytest.skip("Docker's classic builder does one after the other")
    body = (
        f"FROM {IMAGE} AS one\nRUN echo from one; touch /1\nFROM {IMAGE} AS two\n"
        f"RUN echo from two; touch /2\nFROM {IMAGE}\nCOPY --from=one /1 /\nCOPY --from=two /2 /"
    )
    ran = shell.run(f"%%container build --no-cache {ALONE}\n{body}")
    assert ran.error is None, ran
    for stage in ("one", "two"):
        [title] = [line for line in ran.out.splitlines() if f"[{stage} " in line and "RUN" in line]
        number = title.split()[0]
        assert f"{number} from {stage}" in ran.out.splitlines()
        assert any(line.startswith(f"{number} DONE") for line in ran.out.splitlines())
