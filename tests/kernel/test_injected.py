"""A kernel that was injected into an image with Python alone does what a kernel does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupyter_kernel_test
import pytest

from support.engines import Engine
from support.kernels import Kernel, add_kernelspec, jupyter_of, running_kernel
from support.wheels import write_wheel

NAME = "injected"
WHEELS = "/wheels"


@pytest.fixture(scope="module", autouse=True)
def jupyter(
    kernel_engine: Engine,
    debian_python: str,
    injected: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """A kernelspec for the image, and a folder of wheels in its containers."""
    wheels = tmp_path_factory.mktemp("wheels")
    write_wheel(wheels, "fromafolder", "VALUE = 42\n")
    with jupyter_of(kernel_engine, tmp_path_factory.mktemp("jupyter"), injected) as folder:
        volumes = [f"{wheels}:{WHEELS}:ro"]
        add_kernelspec(folder, NAME, image=debian_python, network="none", volumes=volumes)
        yield


@pytest.fixture(scope="module")
def kernel(jupyter: None) -> Iterator[Kernel]:
    with running_kernel(NAME) as running:
        yield running


class Messages:
    """What jupyter_kernel_test asks of a Python kernel."""

    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [  # noqa: RUF012 - the base class has them so
        {"text": "zi", "matches": {"zip"}},
        {"text": "from itertools import isl", "matches": {"islice"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]  # noqa: RUF012 - as above
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]  # noqa: RUF012 - as above
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012 - as above
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [  # noqa: RUF012 - as above
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ]
    code_display_data = [  # noqa: RUF012 - as above
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
            "mime": "text/html",
        },
        {
            "code": "from IPython.display import Math, display; display(Math('x'))",
            "mime": "text/latex",
        },
    ]
    code_history_pattern = "1?2*"
    # IPython calls the session that goes on 0, whatever number its history gave it.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestMessages(Messages, jupyter_kernel_test.KernelTests):
    kernel_name = NAME


def test_nothing_of_it_is_in_the_environment_or_the_path_of_other_processes(
    kernel: Kernel,
) -> None:
    other = kernel.printed("!python3 -c 'import sys, os; print(sys.path, sorted(os.environ))'")
    assert "/run/ipycontainer" not in other
    assert "JPY_PARENT_PID" not in other
    refused = kernel.printed("!python3 -c 'import ipykernel'")
    assert "No module named 'ipykernel'" in refused


def test_the_path_is_that_of_the_images_python_and_the_wheels_are_its_end(
    kernel: Kernel,
) -> None:
    path = kernel.value("__import__('sys').path")
    plain = kernel.value(
        "__import__('ast').literal_eval(__import__('subprocess').check_output("
        "['python3', '-c', 'import sys; print(sys.path)'], text=True))"
    )
    assert [part for part in path[:-1] if part] == [part for part in plain if part]
    assert path[-1] == "/run/ipycontainer-wheels/site"


@pytest.mark.ordinary_user
def test_what_was_injected_can_only_be_read(kernel: Kernel) -> None:
    told = kernel.printed("!touch /run/ipycontainer-wheels/x /run/ipycontainer-inside/x")
    assert told.count("Read-only file system") == 2


def test_imports_have_the_bytecode_of_the_images_python(kernel: Kernel) -> None:
    cached = kernel.value("__import__('ipykernel.kernelapp').kernelapp.__cached__")
    assert kernel.value(f"__import__('os').path.exists({cached!r})")


def test_files_of_cells_have_the_images_umask(kernel: Kernel) -> None:
    assert kernel.value("(__import__('os').umask(0o77), __import__('os').umask(0o22))")[0] == 0o22


def test_input_asks_the_person(kernel: Kernel) -> None:
    client = kernel.client

    def answer(message: dict[str, Any]) -> None:
        assert message["content"]["prompt"] == "name? "
        client.input("Ada")

    outputs = kernel.run("print('hello', input('name? '))", allow_stdin=True, stdin_hook=answer)
    assert outputs[-1]["text"] == "hello Ada\n"


def test_an_interrupted_cell_ends_and_its_variables_stay(kernel: Kernel) -> None:
    kernel.run("kept = 1")
    client = kernel.client
    # Otherwise ipykernel gives up the cells that come while it tells of the error.
    code = "import time\nprint('now')\ntime.sleep(60)"
    busy = client.execute(code, stop_on_error=False)
    while client.get_iopub_msg(timeout=30)["header"]["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=30)
    assert (reply["parent_header"]["msg_id"], reply["content"]["ename"]) == (
        busy,
        "KeyboardInterrupt",
    )
    assert kernel.value("kept") == 1


def test_a_widget_hears_of_the_page_and_the_page_of_it(kernel: Kernel) -> None:
    made = kernel.run(
        "import ipywidgets\nslider = ipywidgets.IntSlider()\nheard = []\n"
        "slider.observe(lambda change: heard.append(change['new']), 'value')\nslider"
    )
    opened = [part for part in made if part["output_type"] == "comm_open"]
    assert {part["target_name"] for part in opened} == {"jupyter.widget"}
    view = made[-1]["data"]["application/vnd.jupyter.widget-view+json"]
    client = kernel.client
    data = {"method": "update", "state": {"value": 7}, "buffer_paths": []}
    client.shell_channel.send(
        client.session.msg("comm_msg", {"comm_id": view["model_id"], "data": data})
    )
    assert kernel.value("heard") == [7]
    told = kernel.run("slider.value = 8")
    assert {"value": 8}.items() <= told[0]["data"]["state"].items()


def test_the_debugger_stops_at_a_breakpoint(kernel: Kernel) -> None:
    client, code = kernel.client, "first = 1\nsecond = first + 1\nthird = second + 1"
    numbers = iter(range(1, 20))

    def debug(command: str, **arguments: Any) -> dict[str, Any]:
        content = {
            "type": "request",
            "seq": next(numbers),
            "command": command,
            "arguments": arguments,
        }
        reply = kernel.ask(client.control_channel, client.session.msg("debug_request", content))
        assert reply["success"], reply
        body: dict[str, Any] = reply.get("body") or {}
        return body

    debug("initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True)
    debug("attach")
    source = debug("dumpCell", code=code)["sourcePath"]
    debug("setBreakpoints", source={"path": source}, breakpoints=[{"line": 2}])
    debug("configurationDone")
    client.execute(code)
    while client.get_iopub_msg(timeout=30)["content"].get("event") != "stopped":
        pass
    frame = debug("stackTrace", threadId=1)["stackFrames"][0]
    assert (frame["line"], frame["source"]["path"]) == (2, source)
    debug("continue", threadId=1)
    assert client.get_shell_msg(timeout=30)["content"]["status"] == "ok"
    debug("disconnect", restart=False, terminateDebuggee=False)


def test_pip_installs_into_the_image_for_every_process(kernel: Kernel) -> None:
    told = kernel.printed(f"%pip install --no-index --find-links {WHEELS} fromafolder")
    assert "Successfully installed fromafolder-1.0" in told
    assert kernel.value("__import__('fromafolder').VALUE") == 42
    assert "42" in kernel.printed("!python3 -c 'import fromafolder; print(fromafolder.VALUE)'")


def test_pip_says_that_there_is_no_network(kernel: Kernel) -> None:
    assert "has no network" in kernel.printed("%pip install something")
