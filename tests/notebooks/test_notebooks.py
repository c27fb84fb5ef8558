"""The course's notebooks do what their saved outputs say, on a captured and on a pulled image."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from support.engines import Engine

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
IMAGES = NOTEBOOKS / "03-images.ipynb"
KERNELS = NOTEBOOKS / "05-kernel-in-an-image.ipynb"
BEGINNING = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path not in (IMAGES, KERNELS)]
# These capture this environment or start many kernels, which takes as long as all the rest: once is
# enough.
ALL = [
    *BEGINNING,
    pytest.param(IMAGES, marks=pytest.mark.needs("docker-registry")),
    pytest.param(KERNELS, marks=pytest.mark.needs("limits")),
]
SECONDS = 300

pytestmark = pytest.mark.needs("root")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that fails is remembered, and a kernel installed, in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


def compare(notebook: Path, engine: Engine, **variables: str) -> None:
    """Run a notebook in a kernel of its own and compare each output with the saved one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    done = subprocess.run(
        [*command, "--rootdir", str(NOTEBOOKS), "-c", os.devnull, str(notebook)],
        env={**engine.variables, **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_notebooks_run_on_the_image_that_is_always_there(engine: Engine, path: Path) -> None:
    compare(path, engine)


@pytest.mark.parametrize("path", BEGINNING, ids=name_of)
def test_notebooks_run_on_an_image_pulled_from_a_registry(
    engine: Engine, debian_python: str, path: Path
) -> None:
    compare(path, engine, IPYCONTAINER_FIRST_IMAGE=debian_python)


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_notebooks_are_saved_with_the_outputs_of_one_run_from_the_top(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
