"""Dockerfiles become notebooks and notebooks Dockerfiles, and nothing is lost on the way."""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbformat import v4

from ipycontainer.cli import main
from ipycontainer.failures import Failure
from ipycontainer_kernel.dockerfile.notebook import to_dockerfile, to_notebook
from ipycontainer_runtime.build.parse import parse

CORPUS = sorted((Path(__file__).parents[1] / "build/corpus").glob("*/*/*ockerfile*"))


def notebook(*cells: tuple[str, str]) -> nbformat.NotebookNode:
    makers: dict[str, Any] = {
        "code": v4.new_code_cell,
        "markdown": v4.new_markdown_cell,
        "raw": v4.new_raw_cell,
    }
    return v4.new_notebook(cells=[makers[kind](source) for kind, source in cells])


def cells_of(node: nbformat.NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in node.cells]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.parent.name)
def test_a_dockerfile_comes_back_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    made = to_notebook(data.decode())
    nbformat.validate(made)
    assert to_dockerfile(made).encode() == data


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) > 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "FROM x",
        "\n\nFROM x\n\n\n\nRUN a\n\n",
        "FROM x\r\nRUN a\r\n",
        "FROM x\r\nRUN a\n",
        "\ufeff# syntax=a/b:1\nFROM x\n",
        "#no blank\nFROM x\n",
        "#\n#\n\n# \nFROM x\n",
        "# one\n#\n# two\n\n\nFROM x\n",
        "FROM x\n  # indented\n\tRUN a\n",
        "FROM x\nRUN <<A <<B\n# %% no mark\n\nA\n# c\nB\n# after\nRUN b\n",
        "FROM x\nRUN a \\\n  # within\n\n  && b\nRUN c\n",
        "#text\n\n#escape=`\n\n# t\n\n#syntax=x\nFROM x\n",
        "# escape=`\n\n# text\nFROM x\nRUN a `\n b\n",
        "FROM x\nRUN <<A\nno end\n",
        "FROM x\nRUN a \\",
        "# %%\nFROM x\n",
        "# %%\n\n\nFROM x\n",
        "FROM x\n# %% [markdown]\n# a\n",
        "# %tag app\nFROM x\n#%tag b\n# %unknown\n",
        "ARG A=1\nFROM x:$A AS one\nFROM one\n",
        " \nFROM x\n \t\nRUN a\n ",
    ],
)
def test_uncommon_files_come_back_too(text: str) -> None:
    assert to_dockerfile(to_notebook(text)) == text


def test_each_instruction_is_a_cell_and_comments_are_markdown() -> None:
    made = to_notebook("# # Title\n#\n# Words.\n\nFROM x\n# why\nRUN <<E\na\n\nb\nE\n")
    assert cells_of(made) == [
        ("markdown", "# Title\n\nWords."),
        ("code", "FROM x"),
        ("markdown", "why"),
        ("code", "RUN <<E\na\n\nb\nE"),
    ]


def test_a_simple_notebook_is_a_dockerfile_without_marks() -> None:
    made = notebook(
        ("markdown", "# App"), ("code", "FROM x"), ("code", "RUN a"), ("code", "%tag y")
    )
    assert to_dockerfile(made) == "# # App\nFROM x\n\nRUN a\n\n# %tag y\n"


NOTEBOOKS: list[list[tuple[str, str]]] = [
    [],
    [("code", "")],
    [("markdown", "")],
    [("code", "FROM x\nRUN a\n\nRUN b")],
    [("markdown", "a"), ("markdown", "b"), ("code", "FROM x")],
    [("markdown", "a\n\n\nb\n"), ("raw", "r"), ("code", "\nFROM x\n\n")],
    [("markdown", "t"), ("code", "# escape=`\nFROM x\nRUN a `\n b"), ("code", "RUN c")],
    [("markdown", "t"), ("code", "# escape=`"), ("code", "FROM x")],
    [("markdown", "t"), ("code", "#escape=`\nFROM x")],
    [("markdown", "escape=`"), ("code", "FROM x\nRUN a \\\n  b")],
    [("code", "%arg A=1"), ("code", "# syntax=a\nFROM x")],
    [("code", "%tag a\nFROM x\n%unknown\n# %tag not\n# \\%tag neither"), ("markdown", "%% m")],
    [("code", "FROM x\nRUN <<E\n# %%\n%tag in a heredoc\nE\n%run ls \\"), ("code", "RUN b")],
    [("code", "# only a comment"), ("code", "FROM x"), ("markdown", "  \nblank")],
    [("markdown", "# %% [markdown]\n\\%"), ("code", "FROM x\n# %%\n# %% [raw]")],
]


@pytest.mark.parametrize("cells", NOTEBOOKS)
def test_a_notebook_comes_back_cell_by_cell(cells: Sequence[tuple[str, str]]) -> None:
    assert cells_of(to_notebook(to_dockerfile(notebook(*cells)))) == list(cells)


LINES = [
    *("", " ", "#", "# text", "#text", "# %%", "# \\%%", "%tag a", "# %tag a", "%nothing"),
    *("RUN a", "RUN a \\\n  b", "RUN <<E\n# %%\n\nE", "# escape=`", "# syntax=x", "FROM y AS z"),
    *("COPY . .", "  # indented", "\tRUN c", "%% x", "# # Title", "ARG A"),
]


def test_any_notebook_of_whole_instructions_comes_back() -> None:
    dice = random.Random(7)
    for _ in range(600):
        cells = [
            (kind, "\n".join(dice.choices(LINES, k=dice.randint(1, 4))))
            for kind in dice.choices(["code", "code", "markdown", "raw"], k=dice.randint(1, 5))
        ]
        try:
            written = to_dockerfile(notebook(*cells))
        except Failure:
            continue  # directives that cannot be, which no builder would take either
        assert cells_of(to_notebook(written)) == cells, written


def test_any_file_comes_back() -> None:
    dice = random.Random(8)
    for _ in range(600):
        text = "\n".join(dice.choices(LINES, k=dice.randint(1, 8))) + dice.choice(["", "\n"])
        try:
            made = to_notebook(text)
        except Failure:
            continue  # a line that begins with %
        assert to_dockerfile(made) == text


def test_a_file_of_any_length_is_read_once() -> None:
    many = "%tag a \\\nRUN b\n" * 5_000
    made = notebook(("code", many))
    assert cells_of(to_notebook(to_dockerfile(made))) == [("code", many)]


def test_what_an_exported_notebook_builds_is_what_its_cells_say() -> None:
    made = notebook(
        ("markdown", "# Title"),
        ("code", "# escape=`\nARG A=1"),
        ("code", "%tag x\nFROM b AS one\nRUN a `\n b"),
        ("code", "FROM one\nRUN c"),
    )
    read = parse(to_dockerfile(made))
    assert read.directives == {"escape": "`"}
    assert [stage.name for stage in read.stages] == ["one", ""]
    assert [one.source for one in read.stages[0].instructions] == ["RUN a  b"]


def test_a_cell_that_ends_within_an_instruction_is_named() -> None:
    with pytest.raises(Failure, match="cell 1 ends within an instruction"):
        to_dockerfile(notebook(("code", "FROM x\nRUN a \\"), ("code", "b")))


def test_a_line_that_is_no_instruction_is_named() -> None:
    with pytest.raises(Failure, match="line 2 begins with %"):
        to_notebook("FROM x\n%tag y\n")


class Told(NamedTuple):
    """What the command line wrote."""

    stdout: str
    stderr: str


Command = Callable[..., Told]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Return the command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> Told:
        main(["kernel", *arguments])
        return Told(*capfd.readouterr())

    return run


def test_the_command_line_brings_a_file_there_and_back(tmp_path: Path, command: Command) -> None:
    text = b"# Title\r\nFROM x\r\n\r\n\r\nRUN a\r\n"
    (tmp_path / "Dockerfile").write_bytes(text)
    assert command("import", "Dockerfile").stdout == "Dockerfile.ipynb\n"
    again = command("import", "Dockerfile")
    assert again.stderr.endswith("is there already: -f writes over it, -o names another\n")
    made = command("export", "Dockerfile.ipynb", "-o", "again")
    assert made.stdout == "again\n"
    assert (tmp_path / "again").read_bytes() == text


def test_what_is_no_notebook_or_no_dockerfile_is_named(tmp_path: Path, command: Command) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM x\n# \xff\n")
    assert "byte 9 is no UTF-8" in command("import", "Dockerfile").stderr
    assert "is no notebook" in command("export", "Dockerfile").stderr
    for other in ("[]", "{}", '{"nbformat": 4, "nbformat_minor": 5, "metadata": 3, "cells": 4}'):
        (tmp_path / "other").write_text(other)
        told = command("export", "other").stderr
        assert told == "ipycontainer: other is JSON, but no notebook: give one of Jupyter's\n"
    spec = {"name": "python3", "display_name": "Python", "language": "python"}
    python = v4.new_notebook(metadata={"kernelspec": spec})
    nbformat.write(python, tmp_path / "python.ipynb")
    assert "is a notebook of python" in command("export", "python.ipynb").stderr


def test_an_import_waits_for_no_pipe_and_reads_no_endless_device(
    tmp_path: Path, command: Command
) -> None:
    os.mkfifo(tmp_path / "Dockerfile")
    assert "is a pipe, and a Dockerfile is a file" in command("import", "Dockerfile").stderr
    assert "is a device" in command("import", "/dev/zero").stderr


def test_the_kernel_is_installed_without_an_image(tmp_path: Path, command: Command) -> None:
    assert command("install", "--kind", "dockerfile").stdout.startswith("dockerfile ")
    spec = json.loads((tmp_path / "data/kernels/dockerfile/kernel.json").read_text())
    assert "ipycontainer_kernel.dockerfile" in spec["argv"][2]
    assert command("list", "-q").stdout == "dockerfile\n"
    assert "no memory" in command("install", "--kind", "dockerfile", "-m", "1g").stderr
    assert "IMAGE is wanted" in command("install").stderr
