"""One engine with an image that is small and has ipykernel, for all that runs notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ipycontainer.cli import main
from support.engines import Engine, running_engine

IMAGE = "small"
Write = Callable[..., Path]


@pytest.fixture(scope="package")
def own_engine() -> Iterator[Engine]:
    with running_engine() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.variables.items():
            patch.setenv(name, value)
        assert main(["capture", "-q", "--include", "ipykernel", IMAGE]) == 0
        yield running


@pytest.fixture
def sandboxes(
    own_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Engine]:
    """The engine that our clients use in this test; no container is left afterwards."""
    for name, value in own_engine.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    yield own_engine
    assert not own_engine.client.containers.list(all=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a notebook of these cells, with a sandbox of these settings."""

    def write_notebook(*cells: str, **sandbox: Any) -> Path:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"ipycontainer": {"image": IMAGE, "network": "none", **sandbox}},
        )
        path = folder / "x.ipynb"
        nbformat.write(made, path)
        return path

    return write_notebook
