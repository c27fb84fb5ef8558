"""What is installed is what is here: the wheel, the editable install and the one version."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from project import CHECKOUT, PACKAGES, tracked

SHARED = {
    "ipycontainer-lab": Path("data/share/jupyter/labextensions"),
    "jupyter_server_config.d": Path("data/etc/jupyter"),
}
VERSION = re.compile(r'^(?:version|__version__) = "([^"]+)"$', re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    here = {
        str(path.relative_to(Path(package).parent))
        for package in PACKAGES
        for path in tracked("")
        if path.is_relative_to(package)
    }
    # Of these JupyterLab and its server read what is in their own folders.
    here |= {
        str(SHARED[path.parts[1]] / path.relative_to("labextension"))
        for path in tracked("")
        if path.is_relative_to("labextension")
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {re.sub(r"^[^/]+\.data/", "", name) for name in names} == here


def test_the_wheel_says_that_it_is_typed_and_licensed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"ipycontainer_runtime/py.typed", "ipycontainer/py.typed"} <= set(names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_wheel_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import ipycontainer as i; print(i.__file__)"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))


def test_the_install_is_editable() -> None:
    try:
        installed = importlib.metadata.distribution("ipycontainer")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the project is not installed here; scripts/test installs it")
    told = json.loads(installed.read_text("direct_url.json") or "{}")
    assert told.get("dir_info", {}).get("editable") is True
    for package in PACKAGES:
        spec = importlib.util.find_spec(Path(package).name)
        assert spec is not None
        assert spec.origin == str(CHECKOUT / package / "__init__.py")


def test_one_version() -> None:
    said = {
        found[1]
        for path in (Path("pyproject.toml"), *(path for path in tracked(".py")))
        if path.parts[0] in ("pyproject.toml", "runtime", "magics", "kernel")
        for found in VERSION.finditer((CHECKOUT / path).read_text())
    }
    front = json.loads((CHECKOUT / "labextension/ipycontainer-lab/package.json").read_text())
    assert said == {front["version"]}
