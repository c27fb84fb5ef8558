"""What is read of a notebook's file, kept of its outputs, and set as its parameters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ipycontainer.cli import main
from ipycontainer.failures import Failure, Usage
from ipycontainer_kernel import files
from ipycontainer_kernel.notebooks import bounds, documents, parameters

v4 = nbformat.v4


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "is a pipe"),
        (os.mkdir, "is a folder"),
        (lambda path: os.symlink("/dev/zero", path), "is a device"),
        (lambda path: os.symlink("/nowhere", path), "No such file"),
    ],
)
def test_what_is_no_file_is_not_waited_for(make: Any, what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    make(path)
    with pytest.raises(Failure, match=what):
        documents.read(path)


@pytest.mark.parametrize("line", ["run x.ipynb", "verify x.ipynb", "kernel export x.ipynb"])
def test_a_verb_waits_for_no_pipe(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("x.ipynb")
    assert main(line.split()) == 1
    assert capfd.readouterr().err == "ipycontainer: x.ipynb is a pipe, and a notebook is a file\n"


def test_a_notebook_is_written_over_no_device_and_into_no_missing_folder(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Failure, match="is a pipe, and a notebook is a file"):
        documents.write(v4.new_notebook(), pipe)
    assert pipe.is_fifo()
    with pytest.raises(Failure, match="there is no folder"):
        documents.mode_at(tmp_path / "none/x.ipynb")


def test_a_file_that_goes_on_and_on_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_OF_NOTEBOOK", 1000)
    (tmp_path / "x.ipynb").write_text("[" * 1001)
    with pytest.raises(Failure, match="at most 1,000 bytes"):
        documents.read(tmp_path / "x.ipynb")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bounds that are passed soon."""
    monkeypatch.setattr(bounds, "CELL", 200_000)


class Kept:
    """A notebook of two cells, and what is kept of messages about them."""

    def __init__(self) -> None:
        self.notebook = v4.new_notebook(cells=[v4.new_code_cell(), v4.new_code_cell()])
        self.bounds = bounds.Bounds(self.notebook, dict)
        self.begin(0)

    def begin(self, number: int) -> None:
        self.cell = self.notebook.cells[number]
        self.bounds.begin(self.cell)

    def hear(self, kind: str, **content: Any) -> bool:
        """Tell of a message, and whether all of it was kept."""
        kept = self.bounds.cut(self.cell, {"msg_type": kind, "content": content})
        if kept is not None and kind == "stream" and self.cell.outputs:
            self.cell.outputs[-1]["text"] += kept["content"]["text"]
        elif kept is not None and kind in ("stream", "display_data"):
            self.cell.outputs.append(v4.new_output(kind, **kept["content"]))
        return kept is not None and kept["content"] == content

    def text(self, *pieces: int) -> bool:
        kept = [self.hear("stream", name="stdout", text="x" * size) for size in pieces]
        return all(kept)

    def length(self) -> int:
        return sum(len(output.get("text", "")) for output in self.cell.outputs)


def test_a_cells_outputs_end_and_the_next_cell_has_room_again() -> None:
    kept = Kept()
    assert kept.text(bounds.CELL // 2)
    assert not kept.text(bounds.CELL)
    assert bounds.CELL - 1000 < kept.length() <= bounds.CELL
    assert not kept.text(1)
    assert kept.hear("status", execution_state="idle")
    assert kept.hear("error", ename="E", evalue="", traceback=[])
    kept.begin(1)
    assert kept.text(1)


def test_text_ends_at_the_same_place_however_it_came() -> None:
    lengths = set()
    for pieces in ([bounds.CELL * 2], [bounds.CELL // 3] * 7, [bounds.CELL - 1, 5, 5]):
        kept = Kept()
        kept.text(*pieces)
        lengths.add(kept.length())
    assert len(lengths) == 1


def test_what_was_cleared_takes_no_room() -> None:
    kept = Kept()
    for _ in range(5):
        assert kept.hear("display_data", data={"text/html": "x" * (bounds.CELL // 2)}, metadata={})
        kept.cell.outputs.clear()


def test_many_small_outputs_are_too_many_too() -> None:
    kept = Kept()
    shown = [kept.hear("display_data", data={}, metadata={}) for _ in range(bounds.CELL // 200)]
    assert shown[0]
    assert not shown[-1]


def test_what_there_is_no_room_for_is_not_looked_into() -> None:
    kept = Kept()
    assert kept.bounds.wanted("stream", 100)
    assert not kept.bounds.wanted("stream", bounds.MESSAGE + 1)
    assert not kept.bounds.wanted("stream", 100)
    assert kept.bounds.wanted("status", 100)


def test_widgets_are_bounded_with_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "NOTEBOOK", 10_000)
    state: dict[str, str] = {}
    made = bounds.Bounds(v4.new_notebook(), lambda: state)
    made.begin(v4.new_code_cell())
    comm = {"msg_type": "comm_msg", "content": {"data": {"state": {"x": "x" * 4000}}}}
    for _ in range(5):
        assert made.cut(v4.new_code_cell(), comm) is not None  # one value, again and again
    state["x"] = "x" * 9000
    assert made.cut(v4.new_code_cell(), comm) is None


def test_parameters_are_what_papermill_takes_them_for() -> None:
    given = ["a=1", "b=1.5", "c=True", "d=None", "e=x=y", "f="]
    assert parameters.read(given) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "x=y", "f": ""
    }  # fmt: skip
    for wrong in ("a", "=1", "a b=1", "1a=1"):
        with pytest.raises(Usage, match="write NAME=VALUE"):
            parameters.read([wrong])


def tags(notebook: Any) -> list[str]:
    return [" ".join(cell.metadata.get("tags", ())) for cell in notebook.cells]


def test_parameters_stand_after_the_cell_that_is_tagged_and_are_replaced() -> None:
    tagged = v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]})
    cells = [v4.new_markdown_cell("t"), tagged, v4.new_code_cell("a")]
    made = v4.new_notebook(cells=cells)
    for value in ("it's", 'a "quote"'):
        made = parameters.parameterized(made, {"a": value}, "python")
        assert tags(made) == ["", "parameters", "injected-parameters", ""]
    namespace: dict[str, Any] = {}
    exec(made.cells[2].source, namespace)
    assert namespace["a"] == 'a "quote"'
    nbformat.validate(made)


def test_parameters_of_a_shell_are_a_shells_and_an_unknown_language_is_refused() -> None:
    made = parameters.parameterized(v4.new_notebook(), {"a": "b c"}, "shell")
    assert "a='b c'" in made.cells[0].source
    other = v4.new_notebook(metadata={"language_info": {"name": "cobol"}})
    with pytest.raises(Failure, match="writes no parameters in cobol"):
        parameters.parameterized(other, {"a": 1}, "image")
