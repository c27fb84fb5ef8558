"""`%%container python`: cells that run in a sandbox, in a real kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest
from cells import SECONDS, Box, Kernel, Message, errors, streamed
from docker.errors import NotFound


def value(messages: list[Message]) -> str:
    """The text of a cell's last value."""
    found = [m.content["data"]["text/plain"] for m in messages if m.kind == "execute_result"]
    return "".join(found)


def test_variables_go_in_and_out_and_stay_for_the_next_cell(
    box: Box, kernel: Kernel, debian_python: str
) -> None:
    kernel.run("x = [1, 2]\nname = 'a'")
    first = kernel.run(
        f"%%container python {debian_python} -i x,name -o total\n"
        "print('inside', name)\ntotal = sum(x)\nkept = 'still here'\ntotal * 2"
    )
    assert errors(first) == []
    assert streamed(first, "stdout") == "inside a\n"
    assert value(first) == "6"
    assert value(kernel.run("total")) == "3"
    assert value(kernel.run(f"%%container python {debian_python}\nkept")) == "'still here'"
    assert len(box.client.api.containers()) == 1
    kernel.run(f"%container python --reset {debian_python}")
    lost = kernel.run(f"%%container python {debian_python}\nkept")
    assert errors(lost)[0]["ename"] == "PythonError"
    kernel.run("%container python --stop")
    assert box.client.api.containers(all=True) == []


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_an_error_names_the_cell_and_its_line(box: Box, kernel: Kernel, debian_python: str) -> None:
    failed = kernel.run(
        f"%%container python {debian_python}\ndef inverse(x):\n    return 1 / x\ninverse(0)"
    )
    told = "\n".join(errors(failed)[0]["traceback"])
    assert errors(failed)[0]["evalue"] == "ZeroDivisionError: division by zero"
    assert "line 4\n    inverse(0)" in told
    assert "line 3, in inverse\n    return 1 / x" in told
    assert "Cell In[" in told
    assert "sandbox/box.py" not in told


def test_an_interrupt_stops_the_code_and_keeps_its_variables(
    box: Box, kernel: Kernel, debian_python: str
) -> None:
    def interrupt(message: Message) -> None:
        if message.kind == "stream" and "ready" in message.content["text"]:
            kernel.interrupt()

    stopped = kernel.run(
        f"%%container python {debian_python}\n"
        "import time\nkept = 9\nprint('ready')\ntime.sleep(600)",
        on=interrupt,
    )
    assert errors(stopped)[0]["traceback"] == [
        "Interrupted: the code was stopped; the interpreter and its variables are kept"
    ]
    assert value(kernel.run(f"%%container python {debian_python}\nkept")) == "9"


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_the_python_api_is_interrupted_in_the_same_way(
    box: Box, kernel: Kernel, debian_python: str
) -> None:
    def interrupt(message: Message) -> None:
        if message.kind == "stream" and "ready" in message.content["text"]:
            kernel.interrupt()

    kernel.run(f"import ipycontainer\nbox = ipycontainer.Sandbox('{debian_python}').start()")
    stopped = kernel.run("box.python('print(\"ready\"); import time; time.sleep(600)')", interrupt)
    assert errors(stopped)[0]["ename"] == "KeyboardInterrupt"
    assert value(kernel.run("box.python('1 + 1')")) == "2"


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_a_cell_that_awaits_is_interrupted_too(
    box: Box, kernel: Kernel, debian_python: str
) -> None:
    def interrupt(message: Message) -> None:
        if message.kind == "stream" and "ready" in message.content["text"]:
            kernel.interrupt()

    kernel.run(f"import ipycontainer\nbox = ipycontainer.AsyncSandbox('{debian_python}')")
    kernel.run("await box.start()\nawait box.python('kept = 3')")
    stopped = kernel.run(
        "await box.python('import time; print(\"ready\"); time.sleep(600)')", interrupt
    )
    assert errors(stopped) != []
    assert value(kernel.run("await box.python('kept')")) == "3"


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_each_name_is_a_sandbox_of_its_own(box: Box, kernel: Kernel, debian_python: str) -> None:
    kernel.run(f"%%container python {debian_python} --name one\nx = 1")
    kernel.run(f"%%container python {debian_python} --name two\nx = 2")
    assert value(kernel.run(f"%%container python {debian_python} --name one\nx")) == "1"
    assert {c["Names"][0] for c in box.client.api.containers()} == {"/one", "/two"}
    other = kernel.run(f"%%container python {debian_python} --name one --memory 64m\nx")
    assert "was made with another memory: `%container python --stop one`" in str(errors(other))


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_words_that_cannot_be_meant_are_told(box: Box, kernel: Kernel, debian_python: str) -> None:
    for line, told in (
        (f"{debian_python} -i nosuch", "-i: the notebook has no variable 'nosuch'"),
        (f"{debian_python} -o 1x", "-o: '1x' is no name for a variable"),
        (f"{debian_python} -o nosuch", "the sandbox has no variable 'nosuch' to bring out"),
        ("", "which image?"),
    ):
        failed = kernel.run(f"%%container python {line}\n1")
        assert told in errors(failed)[0]["evalue"]
    stop = kernel.run("%container python --stop nosuch")
    assert "there is no sandbox 'nosuch' in this notebook" in errors(stop)[0]["evalue"]


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_objects_are_shown_without_what_a_page_would_obey(
    box: Box, kernel: Kernel, debian_python: str
) -> None:
    code = (
        "class Room:\n    def __repr__(self): return 'a room'\n"
        "    def _repr_html_(self): return '<script>alert(1)</script>'\n"
        "    def _repr_png_(self): return bytes.fromhex('89504e470d0a1a0a')\n"
    )
    shown = kernel.run(f"%%container python {debian_python}\n{code}display(Room())\nRoom()")
    bundles = [m.content["data"] for m in shown if m.kind in {"display_data", "execute_result"}]
    assert [set(bundle) for bundle in bundles] == [{"text/plain", "image/png"}] * 2
    assert bundles[0]["text/plain"] == "a room"
    kernel.run(f"%container python --stop {debian_python}")
    trusted = kernel.run(f"%%container python {debian_python} --trusted\n{code}display(Room())")
    assert "text/html" in str(trusted)


def test_the_sandbox_ends_with_the_kernel(box: Box, kernel: Kernel, debian_python: str) -> None:
    kernel.run(f"%%container python {debian_python}\n1")
    (entry,) = box.client.api.containers()
    kernel.kill()
    with suppress(NotFound):  # it was removed already
        box.client.api.wait(entry["Id"], timeout=SECONDS, condition="removed")


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_the_command_line_runs_a_script(
    box: Box, debian_python: str, command: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    done = command("python", debian_python, stdin=b"print(1 + 1)\n")
    assert (done.returncode, done.stdout) == (0, b"2\n")
    assert box.client.api.containers(all=True) == []


def questions(messages: list[Message]) -> list[tuple[str, bool]]:
    kind = "input_request"
    return [(m.content["prompt"], m.content["password"]) for m in messages if m.kind == kind]


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_code_that_asks_has_the_cell_ask(box: Box, kernel: Kernel, debian_python: str) -> None:
    left = ["Ann", "secret", "one", "^D"]

    def on(message: Message) -> None:
        if message.kind == "input_request":
            kernel.answer(left.pop(0))

    code = (
        "import getpass, sys\n"
        "print('before', end=' ')\n"
        "name, word = input('Name? '), getpass.getpass()\n"
        "name, len(word), sys.stdin.read()"
    )
    asked = kernel.run(f"%%container python {debian_python} --timeout 60\n{code}", on, asked=True)
    assert errors(asked) == []
    assert questions(asked) == [("Name? ", False), ("Password: ", True), ("", False), ("", False)]
    assert streamed(asked, "stdout") == "before "
    assert value(asked) == "('Ann', 6, 'one\\n')"


@pytest.mark.parametrize("served", ["engine"], indirect=True)
def test_code_that_asks_is_interrupted_and_its_variables_are_kept(
    box: Box, kernel: Kernel, debian_python: str
) -> None:
    def on(message: Message) -> None:
        if message.kind == "input_request":
            kernel.interrupt()

    stopped = kernel.run(f"%%container python {debian_python}\nx = 5\ninput('Q')", on, asked=True)
    assert "its variables are kept" in errors(stopped)[0]["evalue"]
    assert value(kernel.run(f"%%container python {debian_python}\nx", asked=True)) == "5"
