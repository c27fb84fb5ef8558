"""The Dockerfile kernel through a real client, against our engine and Docker's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupyter_kernel_test
import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from nbformat import v4

from support.dockerfiles import NAME, SECONDS, Notebook, running
from support.engines import running_engine
from support.hosts import Host


class Room:
    """An engine that has busybox, and a kernel beside it."""

    def __init__(
        self, engine: Host, notebook: Notebook, folder: Path, variables: dict[str, str]
    ) -> None:
        self.engine, self.notebook, self.folder = engine, notebook, folder
        self.variables = variables

    def run(self, *arguments: Any, **more: Any) -> Any:
        return self.notebook.run(*arguments, **more)


@contextmanager
def with_kernel(
    host: Host, busybox: str, variables: dict[str, str], folder: Path
) -> Iterator[Room]:
    host.client.images.pull(busybox).tag("busybox")
    variables |= {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    with running(folder, variables) as notebook:
        yield Room(host, notebook, folder, variables)


@pytest.fixture(scope="module")
def served(busybox: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One engine and one kernel for all tests."""
    with running_engine() as host:
        names = ("IPYCONTAINER_ROOT", "IPYCONTAINER_RUN")
        variables = {name: host.variables[name] for name in names}
        folder = tmp_path_factory.mktemp("notebook")
        with with_kernel(host, busybox, variables, folder) as room:
            yield room


@pytest.fixture
def room(served: Room) -> Room:
    """The kernel with an empty Dockerfile."""
    served.run("%reset")
    return served


BASE = "FROM busybox"


@pytest.mark.ordinary_user
def test_a_cell_builds_on_those_before_it_and_says_what_it_made(room: Room) -> None:
    base = room.run(BASE).reply["execution_count"]
    made = room.run("RUN echo one > /one && echo said")
    assert "RUN echo one > /one" in made.shown
    assert "said" in made.shown
    assert "FROM" not in made.shown
    assert "Layer " in made.shown
    assert f", 4B, on In[{base}]; image " in made.shown
    assert "2 layers, the last " in room.run("RUN echo 2 > /b\nRUN echo 3 > /c").shown
    assert "No new layer, on In[" in room.run("ENV A=1").shown
    assert room.run("%run cat /one").out == "one\n"


def test_an_edited_cell_rebuilds_from_there_and_the_rest_is_cache(room: Room) -> None:
    room.run(BASE, "a")
    room.run("RUN cat /proc/sys/kernel/random/uuid > /first", "b")
    room.run("RUN echo two > /second", "c")
    room.run("RUN cat /first /second > /third", "d")
    first = room.run("%run cat /first", "e").out
    room.run("RUN echo TWO > /second", "c")
    made = room.run("RUN cat /first /second > /third", "d")
    assert "RUN cat /proc" not in made.shown
    assert "reused" in made.shown
    assert room.run("%run cat /third", "e").out == f"{first}TWO\n"


def test_a_cell_that_was_edited_takes_those_after_it_along_when_they_run(room: Room) -> None:
    room.run(BASE, "a")
    room.run("RUN echo a > /f", "b")
    room.run("RUN cat /f > /g", "c")
    room.run("RUN echo b > /f", "b")
    assert "RUN cat" in room.run("RUN cat /f > /g", "c").shown
    assert room.run("%run cat /g", "d").out == "b\n"


def test_cells_that_the_front_end_deleted_are_left_out(room: Room) -> None:
    room.run(BASE, "a")
    room.run("ENV GONE=1", "b")
    assert room.run("%show", "c", deletedCells=["b"]).out == "FROM busybox\n"


def test_a_new_cell_stands_after_the_one_that_was_run_before_it(room: Room) -> None:
    room.run(BASE, "a")
    room.run("ENV C=1", "c")
    room.run(BASE, "a")
    assert "taken to stand after" in room.run("ENV B=1", "b").err
    assert room.run("%show", "d").out == "FROM busybox\n\nENV B=1\n"
    shown = room.run("ENV C=1\n%show", "c").out
    assert shown == "FROM busybox\n\nENV B=1\n\nENV C=1\n# %show\n"


def test_without_ids_a_failed_cell_is_replaced_by_the_next(room: Room) -> None:
    room.run(BASE)
    assert "exited with code 3" in room.run("RUN exit 3").error
    room.run("ENV A=1")
    assert room.run("%show").out == "FROM busybox\n\nENV A=1\n"


def test_a_failed_step_is_shown_by_its_line_in_the_cell(room: Room) -> None:
    room.run("# a comment\n" + BASE, "a")
    made = room.run("RUN true\nRUN echo why && exit 3", "b")
    assert "line 2 of this cell" in made.error
    assert "> 2 | RUN echo why && exit 3" in made.shown
    assert "why" in made.shown
    assert made.reply["traceback"] == [f"BuildFailure: {made.error}"]
    later = room.run("ENV A=1", "c")
    assert "line 2 of cell In[" in later.error


def test_an_instruction_that_is_none_is_refused_with_its_line(room: Room) -> None:
    room.run(BASE)
    assert "unknown instruction" in room.run("ENV A=1\nRUNN x").error


@pytest.mark.ordinary_user
def test_arguments_and_stages(room: Room) -> None:
    room.run("%arg TAG=latest")
    assert room.run("ARG TAG").err.startswith("nothing to build yet")
    room.run("FROM busybox:$TAG AS first\nRUN echo 1 > /stage")
    room.run("FROM busybox\nCOPY --from=first /stage /copied\nRUN echo 2 > /stage")
    assert room.run("%run cat /stage /copied").out == "2\n1\n"
    made = room.run("%target first\n%run cat /stage\n%tag stage:first")
    assert made.out.startswith("1\n")
    assert "Tagged stage:first" in made.out
    assert room.engine.client.images.get("stage:first")


def test_copy_takes_files_of_the_notebooks_folder_or_of_the_context(room: Room) -> None:
    (room.folder / "here").write_text("here\n")
    (room.folder / "deeper").mkdir(exist_ok=True)
    (room.folder / "deeper/there").write_text("there\n")
    room.run(BASE)
    assert room.run("COPY here /\n%run cat /here").out == "here\n"
    assert room.run("%context deeper\nCOPY there /\n%run cat /there").reply["status"] == "error"
    room.run("%reset")
    room.run(f"%context deeper\n{BASE}")
    assert room.run("COPY there /\n%run cat /there").out == "there\n"
    assert "there is no folder nowhere" in room.run("%context nowhere").error


def test_options_are_those_of_build(room: Room) -> None:
    room.run(BASE)
    room.run("RUN cat /proc/sys/kernel/random/uuid > /now")
    first = room.run("%run cat /now").out
    room.run("%options --no-cache --label made=here")
    assert room.run("ENV A=1\n%run cat /now").out != first
    room.run("%tag labelled")
    assert room.engine.client.images.get("labelled").labels == {"made": "here"}
    assert "see `%options --help`" in room.run("%options --nonsense").error
    assert "it takes --add-host, " in room.run("%options --help").error


def test_interrupting_ends_the_build_and_the_kernel_goes_on(room: Room) -> None:
    room.run(BASE)

    def interrupt(message: dict[str, Any]) -> None:
        data = message["content"].get("data", {})
        if "\n    ready" in data.get("text/plain", ""):
            room.notebook.manager.interrupt_kernel()

    made = room.run("RUN echo ready; sleep 600", on=interrupt)
    assert made.reply["ename"] == "Interrupted"
    assert room.run("%run echo alive").out == "alive\n"


def test_a_command_that_waits_for_input_makes_the_cell_ask(room: Room) -> None:
    room.run(BASE)
    assert room.run("%run read x; echo got $x", answer="this").out.endswith("got this\n")


def test_interrupting_a_command_leaves_no_container(room: Room) -> None:
    room.run(BASE)

    def interrupt(message: dict[str, Any]) -> None:
        if "ready" in message["content"].get("text", ""):
            room.notebook.manager.interrupt_kernel()

    made = room.run("%run echo ready; exec sleep 600", on=interrupt)
    assert made.reply["ename"] == "Interrupted"
    assert room.engine.client.api.containers(all=True) == []


def test_a_cell_that_goes_on_is_known_by_the_escape_of_the_first(room: Room) -> None:
    room.run(f"# escape=`\n{BASE}")
    assert room.notebook.ask("is_complete", "RUN a `")["status"] == "incomplete"
    assert room.notebook.ask("is_complete", "RUN a \\")["status"] == "complete"


def test_a_file_goes_out_and_comes_in(room: Room) -> None:
    room.run(BASE)
    room.run("ENV A=1")
    room.run("%export Dockerfile.out")
    assert (room.folder / "Dockerfile.out").read_text() == "FROM busybox\n\nENV A=1\n"
    made = room.run("%import Dockerfile.out")
    assert made.reply["payload"] == [
        {"source": "set_next_input", "text": "FROM busybox\n\nENV A=1", "replace": False}
    ]
    (room.folder / "made.ipynb").unlink(missing_ok=True)
    room.run("%import Dockerfile.out made.ipynb")
    assert (room.folder / "made.ipynb").exists()
    assert "is there already" in room.run("%import Dockerfile.out made.ipynb").error


def test_what_is_wrong_is_one_line(room: Room) -> None:
    assert "did you mean show" in room.run("%shwo").error
    assert "has no FROM" in room.run("%run ls").error
    assert "goes on, and the cell ends" in room.run("RUN a \\").error
    assert "unterminated heredoc" in room.run("FROM busybox\nRUN <<EOF\na").error
    room.run(BASE)
    assert "write one tag" in room.run("%tag a:b:c").error
    assert "line 2 of this cell: RUN: unterm" in room.run("RUN true\nRUN <<EOF\na").error
    assert "line 1 of this cell: a zero byte" in room.run("RUN true\0").error
    assert room.run("%help").out.startswith("A cell holds instructions")
    assert "there is no cell In[9999]" in room.run("%forget 9999").error
    assert "write %arg NAME=VALUE" in room.run("%arg").error
    assert "write %options FLAGS" in room.run("%options").error
    assert "nothing follows it" in room.run("%reset 3").error
    assert "is a device, and a Dockerfile is a file" in room.run("%import /dev/zero").error
    assert "is a device, and a Dockerfile is a file" in room.run("%export /dev/null").error


def test_a_cell_is_left_out_by_its_number(room: Room) -> None:
    room.run(BASE)
    count = room.run("ENV A=1").reply["execution_count"]
    room.run(f"%forget {count}")
    assert room.run("%show").out == "FROM busybox\n"


def test_the_log_of_the_last_build_is_whole(room: Room) -> None:
    room.run(BASE)
    room.run("RUN seq 3")
    assert [line.split()[-1] for line in room.run("%log").out.splitlines()] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("FROM busybox", "complete"),
        ("RUN a \\", "incomplete"),
        ("RUN a \\\n  b", "complete"),
        ("RUN <<EOF\na", "incomplete"),
        ("RUN <<EOF\na\nEOF", "complete"),
        ("# escape=`\nRUN a `", "incomplete"),
        ("%run ls \\", "complete"),
        ("", "complete"),
    ],
)
def test_a_cell_that_goes_on_is_known(room: Room, code: str, status: str) -> None:
    assert room.notebook.ask("is_complete", code)["status"] == status


@pytest.mark.needs("dockerd")
def test_dockers_engine_builds_cells_too(
    request: pytest.FixtureRequest, busybox: str, tmp_path: Path
) -> None:
    host = request.getfixturevalue("dockerd")
    with with_kernel(host, busybox, {"DOCKER_HOST": host.url}, tmp_path) as room:
        room.run(BASE)
        made = room.run("RUN echo one > /one && echo said")
        assert "said" in made.shown
        assert "Layer " in made.shown
        assert "FROM" not in made.shown
        again = room.run("RUN cat /one\n%run cat /one")
        assert "RUN echo" not in again.shown
        assert again.out == "one\n"
        assert "line 2 of this cell" in room.run("RUN true\nRUN exit 3").error


class TestMessages(jupyter_kernel_test.KernelTests):
    """The groups of Jupyter's own suite that apply: it has no value and no pager."""

    language_name = "dockerfile"
    file_extension = ".dockerfile"
    code_hello_world = "FROM busybox\n%run echo 'hello, world'"
    code_stderr = "FROM busybox\n%run echo 'hello, world' >&2"
    completion_samples = [{"text": "WORK", "matches": {"WORKDIR"}}]  # noqa: RUF012 - its own form
    complete_code_samples = ["FROM x", "RUN a \\\n b", ""]  # noqa: RUF012 - its own form
    incomplete_code_samples = ["RUN a \\", "RUN <<E\na"]  # noqa: RUF012 - its own form
    code_generate_error = "%nothing"
    code_display_data = [{"code": "FROM busybox", "mime": "text/html"}]  # noqa: RUF012 - its own
    code_history_pattern = "%sho*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "RUN"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _kernel(cls, served: Room) -> None:
        served.run("%reset")
        cls.km, cls.kc = served.notebook.manager, served.notebook.client

    @classmethod
    def setUpClass(cls) -> None:
        """Leave the kernel to the fixture."""

    @classmethod
    def tearDownClass(cls) -> None:
        """Leave the kernel to the fixture."""


def document(*cells: str) -> nbformat.NotebookNode:
    spec = {"name": NAME, "display_name": "Dockerfile", "language": "dockerfile"}
    made = [v4.new_code_cell(source) for source in cells]
    return v4.new_notebook(cells=made, metadata={"kernelspec": spec})


def out(cell: nbformat.NotebookNode) -> str:
    return "".join(one.text for one in cell.outputs if one.output_type == "stream")


def test_nbclient_and_papermill_run_a_notebook_from_top_to_bottom(
    served: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(served.folder / "jupyter"))
    for name, value in served.variables.items():
        monkeypatch.setenv(name, value)
    # The same words twice are two layers: the order is all that these clients tell.
    made = document(BASE, "RUN echo x >> /f", "RUN echo x >> /f", "%run cat /f")
    NotebookClient(made, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert out(made.cells[-1]) == "x\nx\n"
    nbformat.write(made, tmp_path / "in.ipynb")
    papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", cwd=tmp_path, progress_bar=False
    )
    ran = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out(ran.cells[-1]) == "x\nx\n"


def test_the_notebooks_file_tells_where_a_cell_stands(served: Room, tmp_path: Path) -> None:
    file = tmp_path / "here.ipynb"
    with running(tmp_path, {**served.variables, "JPY_SESSION_NAME": str(file)}) as notebook:
        made = document(BASE, "ENV A=1", "ENV B=1", "%show")
        ids = [cell.id for cell in made.cells]
        nbformat.write(made, file)
        for number in (0, 2, 1):
            ran = notebook.run(made.cells[number].source, ids[number])
            assert "taken to stand" not in ran.err
        assert notebook.run("%show", ids[3]).out == "FROM busybox\n\nENV A=1\n\nENV B=1\n"
        made.cells[1:3] = reversed(made.cells[1:3])
        nbformat.write(made, file)
        assert notebook.run("%show", ids[3]).out == "FROM busybox\n\nENV B=1\n\nENV A=1\n"
