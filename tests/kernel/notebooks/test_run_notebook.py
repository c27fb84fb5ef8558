"""`run NOTEBOOK` and `verify NOTEBOOK`: in the sandbox that it names, and nowhere else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from ipycontainer.cli import main
from ipycontainer_kernel.notebooks import bounds
from support.engines import Engine

Write = Callable[..., Path]

pytestmark = pytest.mark.needs("root", "limits")
COMMAND = [sys.executable, "-c", "import sys; from ipycontainer.cli import main; sys.exit(main())"]
SECONDS = 120


def outputs(path: Path) -> list[Any]:
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


@pytest.mark.usefixtures("sandboxes")
def test_it_runs_in_its_sandbox_and_keeps_what_came_before_a_failure(
    write: Write, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write(
        "import os, socket\nprint(os.getcwd(), os.path.exists('x.ipynb'), os.environ['A'])",
        "print(open('/sys/fs/cgroup/memory/memory.limit_in_bytes').read())"
        " if os.path.exists('/sys/fs/cgroup/memory') else print(512 << 20)",
        "print([name for _, name in socket.if_nameindex()])\nopen('made', 'w')",
        "'never'",
        env={"A": "1"},
        memory="512m",
    )
    before, copy = path.read_bytes(), tmp_path / "out.ipynb"
    assert main(["run", str(path), "-o", str(copy), "-e", "A=2"]) == 1
    told = capfd.readouterr().err
    assert "cell 1 of 4: import os, socket" in told
    assert "cell 3 failed: OSError: [Errno 30] Read-only file system: 'made'" in told
    first, second, third, last = outputs(copy)
    assert first[0].text == "/notebook True 2\n"
    assert second[0].text.strip() == str(512 << 20)
    assert third[0].text == "['lo']\n"
    assert third[1].ename == "OSError"
    assert not last
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["x.ipynb"]


@pytest.mark.usefixtures("sandboxes")
def test_a_kernel_that_passes_its_memory_limit_is_said_to(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("x = b'1' * (1 << 30)", memory="256m")
    assert main(["run", "-q", str(path)]) == 125  # its flags come after it
    assert main(["run", str(path), "-q"]) == 1
    assert "cell 1: the kernel ran out of memory" in capfd.readouterr().err


def test_what_reaches_past_the_container_needs_the_persons_word(
    sandboxes: Engine, write: Write, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write("open('/x/secret').read()", volumes=[f"{tmp_path}:/x"], notebook="rw")
    (tmp_path / "secret").write_text("told")
    began = sandboxes.client.info()["SystemTime"]
    assert main(["run", str(path)]) == 1
    said = capfd.readouterr().err
    assert f"the mount '{tmp_path}:/x'" in said
    assert "writing to the notebook's folder" in said
    assert not list(
        sandboxes.client.events(
            since=began, until=sandboxes.client.info()["SystemTime"], filters={"event": "create"}
        )
    )
    assert main(["run", str(path), "--trust"]) == 0
    assert outputs(path)[0][0].data["text/plain"] == "'told'"


def test_a_notebook_without_a_sandbox_is_told_how_to_have_one(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("1")
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata["ipycontainer"]
    nbformat.write(notebook, path)
    assert main(["run", str(path)]) == 1
    assert f"`ipycontainer lock {path} --image IMAGE`" in capfd.readouterr().err


@pytest.mark.usefixtures("sandboxes")
def test_a_cell_runs_a_notebook(write: Write) -> None:
    path = write("print('from inside')")
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        code = f"%load_ext ipycontainer\n%container run {path} -q"
        reply = client.execute_interactive(code, timeout=SECONDS, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert outputs(path)[0][0].text == "from inside\n"


@pytest.mark.usefixtures("sandboxes")
def test_an_interrupt_ends_the_run_and_the_container(write: Write) -> None:
    path = write("print('begun')", "import time\ntime.sleep(1000)")
    running = subprocess.Popen([*COMMAND, "run", str(path)], stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("cell 2"):
            break
    running.send_signal(signal.SIGINT)
    assert running.wait(SECONDS) == 130
    running.stderr.close()
    assert outputs(path)[0][0].text == "begun\n"


@pytest.mark.usefixtures("sandboxes")
def test_verify_tells_the_cells_that_differ(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("print(object())", "import os\nos.urandom(4)", "1/0")
    assert main(["verify", str(path), "-q"]) == 1
    told = capfd.readouterr()
    assert told.out.startswith("cell 2: not the same in the second run: import os\n")
    assert "    -text/plain: b'" in told.out
    assert "the outputs of 1 cell differ" in told.err
    assert not any(outputs(path))
    assert main(["run", str(path), "-q", "--allow-errors"]) == 0
    assert main(["verify", str(path), "--json"]) == 1
    said = json.loads(capfd.readouterr().out)
    assert [(one["cell"], one["between"]) for one in said["differences"]] == [
        (2, "as saved"),
        (2, "run again"),
    ]


@pytest.mark.usefixtures("sandboxes")
def test_verify_is_content_with_a_notebook_that_does_the_same_again(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("print('always')")
    assert main(["run", str(path), "-q"]) == 0
    assert main(["verify", str(path), "-q"]) == 0
    assert "1 code cell: two runs and what was saved are the same" in capfd.readouterr().out


@pytest.mark.usefixtures("sandboxes")
def test_a_cell_that_prints_without_end_has_its_outputs_cut_and_the_next_one_none(
    write: Write,
) -> None:
    path = write("for _ in range(40): print('x' * 10**6)", "print('after')")
    assert main(["run", str(path), "-q"]) == 0
    (printed, told), after = outputs(path)
    assert len(printed.text) == bounds.CELL - 200
    assert told.text == bounds.told()
    assert [output.text for output in after] == ["after\n"]


@pytest.mark.usefixtures("sandboxes")
def test_parameters_are_set_before_the_cells_that_use_them(write: Write, tmp_path: Path) -> None:
    path = write("print(a + 1)")
    copy = tmp_path / "out.ipynb"
    assert main(["run", str(path), "-q", "-p", "a=2", "-o", str(copy)]) == 0
    assert outputs(copy)[1][0].text == "3\n"
