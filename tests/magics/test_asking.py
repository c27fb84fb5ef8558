"""A program in a container that waits for input makes the cell ask, through a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cells import Box, Kernel, Message, errors, running_kernel, streamed

from support.engines import Engine, running_engine

RUN = "%container run --net none --rm --name web"


@pytest.fixture(scope="module")
def engine_here(busybox: str, debian_python: str) -> Iterator[Engine]:
    with running_engine() as running:
        running.client.images.pull(busybox).tag("busybox")
        running.client.images.pull(debian_python).tag("python")
        yield running
        for name in (debian_python, "python"):
            running.client.api.remove_image(name, force=True)


@pytest.fixture(scope="module")
def served(engine_here: Engine) -> Box:
    """Our engine alone: Docker's cannot see who waits for input."""
    own = {k: v for k, v in engine_here.variables.items() if k.startswith("IPYCONTAINER_")}
    return Box("engine", engine_here.client, own)


@pytest.fixture(scope="module")
def one_kernel(served: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DOCKER_HOST", raising=False)
        for name, value in served.variables.items():
            patch.setenv(name, value)
        with running_kernel(tmp_path_factory.mktemp("kernel")) as running:
            # Where things are rich, `-it` has a terminal in the cell, and nothing is asked.
            running.run("%config IPyContainer.display = 'text'")
            yield running


@pytest.fixture
def kernel(box: Box, one_kernel: Kernel) -> Kernel:
    """The module's kernel; `box` removes the containers of each test."""
    return one_kernel


def answering(kernel: Kernel, *answers: str) -> Callable[[Message], None]:
    left = list(answers)

    def on(message: Message) -> None:
        if message.kind == "input_request":
            kernel.answer(left.pop(0))

    return on


def asked(messages: list[Message]) -> list[tuple[str, bool]]:
    """The questions: prompts, and whether the answer is hidden."""
    kind = "input_request"
    return [(m.content["prompt"], m.content["password"]) for m in messages if m.kind == kind]


def dialogue(messages: list[Message]) -> str:
    """What a person has seen besides his answers, in its order."""
    shown = (m.content.get("text", m.content.get("prompt", "")) for m in messages)
    return "".join(shown)


def test_a_shell_that_reads_asks_with_its_own_words(kernel: Kernel) -> None:
    script = "printf 'Name? '; read name; echo Hello $name"
    messages = kernel.run(
        f'{RUN} -i busybox sh -c "{script}"', answering(kernel, "Ann"), asked=True
    )
    assert dialogue(messages) == "Name? Hello Ann\n"
    assert len(asked(messages)) == 1
    assert errors(messages) == []


# The start of a container returns once somebody is asked: all that it told is there to be read.
LATE = """
import json
from docker.api.client import APIClient
start = APIClient.start
def late(api, container, *given, **named):
    told = api._get(api._url("/ipycontainer/containers/{0}/input", container), stream=True)
    start(api, container, *given, **named)
    next(line for line in told.iter_lines(1) if line and json.loads(line)["wanted"])
    told.close()
APIClient.start = late
"""


def test_a_question_never_overtakes_what_was_said_before_it(kernel: Kernel) -> None:
    assert errors(kernel.run(LATE)) == []
    script = "printf 'Name? '; read name; printf 'Age? '; read age; echo $name is $age"
    try:
        messages = kernel.run(
            f'{RUN} -i busybox sh -c "{script}"', answering(kernel, "Ann", "7"), asked=True
        )
    finally:
        kernel.run("APIClient.start = start")
    assert errors(messages) == []
    assert asked(messages) == [("Name? ", False), ("Age? ", False)]
    assert dialogue(messages) == "Name? Age? Ann is 7\n"


def test_a_terminal_shows_the_answer_once(kernel: Kernel) -> None:
    script = "printf 'Name? '; read name; echo Hello $name"
    messages = kernel.run(
        f'{RUN} -it busybox sh -c "{script}"', answering(kernel, "Änn"), asked=True
    )
    assert dialogue(messages) == "Name? Hello Änn\r\n"


def test_lines_are_asked_for_until_the_end_is_typed(kernel: Kernel) -> None:
    for tty, end in (("", "^D"), ("t", "\x04")):
        messages = kernel.run(
            f"{RUN} -i{tty} busybox cat", answering(kernel, "one", "", end), asked=True
        )
        assert streamed(messages, "stdout").replace("\r", "") == "one\n\n"
        assert [prompt for prompt, _ in asked(messages)] == ["(^D ends the input) ", "", ""]
        assert errors(messages) == []


def test_a_password_is_hidden(kernel: Kernel) -> None:
    code = "import getpass; print(len(getpass.getpass()), input('Name: '))"
    messages = kernel.run(
        f'{RUN} -it python python3 -c "{code}"', answering(kernel, "secret", "Ann"), asked=True
    )
    assert [hidden for _, hidden in asked(messages)] == [True, False]
    assert "secret" not in str(messages)
    assert dialogue(messages).replace("\r", "") == "Password: \nName: 6 Ann\n"


def test_an_interpreter_is_spoken_to_line_by_line(kernel: Kernel) -> None:
    for flags in ("-i", "-it"):
        messages = kernel.run(
            f"{RUN} {flags} python python3 -iq",
            answering(kernel, "x = 6", "x * 7", "^D"),
            asked=True,
        )
        assert "42" in dialogue(messages)
        assert all(prompt in {">>> ", ""} for prompt, _ in asked(messages))


def test_a_prompt_is_text_and_nothing_else(kernel: Kernel) -> None:
    line = r"\033[31mRed\033[0m\033]52;c;eA==\007 or 50%%\rBlue<b>\001?"
    messages = kernel.run(
        f"{RUN} -i busybox sh -c \"printf '{line}'; read x\"", answering(kernel, "x"), asked=True
    )
    assert asked(messages) == [("Blue<b>?", False)]


def test_an_exec_asks(box: Box, kernel: Kernel) -> None:
    kernel.run("%container run --net none -d --name web busybox sleep 600")
    messages = kernel.run(
        "%container exec -i web sh -c 'printf Age?; read x; exit $x'",
        answering(kernel, "7"),
        asked=True,
    )
    assert dialogue(messages) == "Age?"
    told = "ContainerExit: the command in container web exited with code 7"
    assert errors(messages)[0]["traceback"] == [told]


def test_attach_and_start_ask(box: Box, kernel: Kernel) -> None:
    script = "while read x; do echo got $x; done; exit 4"
    kernel.run(f"%container create --net none -i --name web busybox sh -c '{script}'")
    messages = kernel.run("%container start -ai web", answering(kernel, "one", "^D"), asked=True)
    assert streamed(messages, "stdout") == "got one\n"
    kernel.run("%container start web")
    messages = kernel.run("%container attach web", answering(kernel, "two", "^D"), asked=True)
    assert streamed(messages, "stdout") == "got two\n"
    assert errors(messages)[0]["evalue"] == "container web exited with code 4"


def test_output_that_comes_while_asking_is_shown(kernel: Kernel) -> None:
    def on(message: Message) -> None:
        if message.kind == "stream" and "later" in message.content["text"]:
            kernel.answer("at last")

    script = "exec 3<&0; (sleep 0.5; echo later) & printf 'Now? '; read x <&3; echo $x"
    messages = kernel.run(f'{RUN} -i busybox sh -c "{script}"', on, asked=True)
    assert dialogue(messages) == "Now? later\nat last\n"


def test_a_question_goes_with_its_program(kernel: Kernel) -> None:
    messages = kernel.run(f"{RUN} -i busybox sh -c 'timeout 0.5 cat; exit 5'", asked=True)
    assert len(asked(messages)) == 1
    assert errors(messages)[0]["evalue"] == "container web exited with code 5"
    # What is typed into the old box is nobody's answer.
    kernel.answer("too late")
    messages = kernel.run(
        f"{RUN} -i busybox sh -c 'read x; echo $x'", answering(kernel, "fresh"), asked=True
    )
    assert streamed(messages, "stdout") == "fresh\n"


def test_an_interrupt_while_asking_stops_the_container(box: Box, kernel: Kernel) -> None:
    def on(message: Message) -> None:
        if message.kind == "input_request":
            kernel.interrupt()

    messages = kernel.run(f"{RUN} -i --init busybox cat", on, asked=True)
    assert "Interrupted: stopping container web" in streamed(messages, "stderr")
    assert "was stopped" in errors(messages)[0]["evalue"]
    assert not box.exists("web")
    assert streamed(kernel.run("print('alive')"), "stdout") == "alive\n"


def test_where_nobody_can_be_asked_the_cell_fails_and_says_why(box: Box, kernel: Kernel) -> None:
    messages = kernel.run(f"{RUN} -i --init busybox sh -c 'printf Sure?; read x; echo no'")
    assert errors(messages)[0]["traceback"] == [
        "Failure: sh in container web waits for input ('Sure?'), and nobody can be asked here: give"
        ' it with --input "…", or as the body of a %%container cell'
    ]
    assert streamed(messages, "stdout") == "Sure?"
    assert not box.exists("web")


def test_what_never_waits_runs_where_nobody_can_be_asked(kernel: Kernel) -> None:
    messages = kernel.run(f"{RUN} -it busybox sh -c 'sleep 0.3; echo done'")
    assert streamed(messages, "stdout") == "done\r\n"
    assert errors(messages) == []


def test_attach_and_exec_leave_the_container_where_nobody_can_be_asked(
    box: Box, kernel: Kernel
) -> None:
    kernel.run("%container run --net none -id --name web busybox cat")
    for verb in ("attach web", "exec -i web cat", "exec -it web cat"):
        messages = kernel.run(f"%container {verb}")
        assert "cat in container web waits for input" in errors(messages)[0]["evalue"]
    assert box.state("web")["Running"] is True
    # What was refused its input has ended: the container's own process is left.
    kernel.run("import time")
    while len(box.client.api.top("web")["Processes"]) > 1:
        kernel.run("time.sleep(0.05)")


def test_the_lines_of_input_are_given_when_they_are_asked_for(
    kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("from\na file\n")
    code = "import getpass, sys; print(getpass.getpass(), input('N '), sys.stdin.read().split())"
    kernel.run("more = '@x\\ny'")
    messages = kernel.run(
        f"{RUN} -t --input secret --input 'Ann' --input {{more}} --input @{tmp_path}/file"
        f' python python3 -c "{code}"'
    )
    assert errors(messages) == []
    assert "secret Ann ['@x', 'y', 'from', 'a', 'file']" in streamed(messages, "stdout")


def test_input_that_is_not_enough_ends(kernel: Kernel) -> None:
    messages = kernel.run(f"{RUN} --input one busybox cat")
    assert streamed(messages, "stdout") == "one\n"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%container run --input x busybox cat\nbody", "two inputs"),
        ("%container run --input @/no/such/file busybox cat", "No such file"),
    ],
)
def test_input_that_cannot_be_is_refused_before_there_is_a_container(
    box: Box, kernel: Kernel, cell: str, told: str
) -> None:
    messages = kernel.run(cell)
    assert told in errors(messages)[0]["evalue"]
    assert box.client.api.containers(all=True) == []


def test_an_engine_that_is_killed_meanwhile_still_tells(
    engine_here: Engine, kernel: Kernel
) -> None:
    def on(message: Message) -> None:
        if message.kind == "stream" and "begun" in message.content["text"]:
            engine_here.kill()
        if message.kind == "input_request":
            kernel.answer("here")

    script = "echo begun; sleep 1.5; printf 'You? '; read x; echo $x"
    messages = kernel.run(f'{RUN} -i busybox sh -c "{script}"', on, asked=True)
    assert "You? " in dialogue(messages)
    assert "here\n" in streamed(messages, "stdout")
    assert errors(messages) == []


def test_an_engine_that_is_killed_while_a_cell_asks_costs_no_exit_code(
    engine_here: Engine, kernel: Kernel
) -> None:
    def on(message: Message) -> None:
        if message.kind == "input_request":
            engine_here.kill()
            kernel.answer("7")

    for kept in (" --rm", ""):
        run = RUN.replace(" --rm", kept)
        messages = kernel.run(
            f"{run} -i busybox sh -c 'printf Code?; read x; sleep 1; exit $x'", on, asked=True
        )
        assert errors(messages)[0]["evalue"] == "container web exited with code 7"
