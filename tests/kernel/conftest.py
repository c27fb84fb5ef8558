"""One engine for the kernels of these tests, with the image that they are made of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernelroom import Room

from support.engines import Engine, running_engine
from support.kernels import jupyter_of


@pytest.fixture(scope="session")
def kernel_engine(debian_python: str) -> Iterator[Engine]:
    """An engine of ours that has the small Debian with Python, which has no ipykernel."""
    with running_engine() as running:
        running.client.images.pull(debian_python)
        yield running


@pytest.fixture(scope="session")
def injected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is injected is kept: made once for all files of tests."""
    return tmp_path_factory.mktemp("injected")


@pytest.fixture(scope="module")
def room(
    kernel_engine: Engine,
    debian_python: str,
    injected: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Room]:
    """A place for a module's kernels, which must leave nothing."""
    runtime = Path(tempfile.mkdtemp(prefix="ipyc-k", dir="/tmp"))  # sockets have short names
    with (
        jupyter_of(kernel_engine, tmp_path_factory.mktemp("jupyter"), injected) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        patch.setenv("JUPYTER_DATA_DIR", str(folder))
        made = Room(kernel_engine, debian_python, folder, runtime)
        try:
            yield made
            assert not made.left()
        finally:
            kernel_engine.remove_containers()
            shutil.rmtree(runtime, ignore_errors=True)
