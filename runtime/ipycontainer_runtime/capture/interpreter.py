"""What belongs to a Python environment, asked of its own interpreter."""

import json
import os
import subprocess
from typing import NamedTuple

from ipycontainer_runtime.capture.tree import Tree
from ipycontainer_runtime.errors import InvalidParameter

# Run isolated, so that neither the current folder, nor PYTHON… variables, nor the user's own
# site-packages (in the home) have a say. Folders that .pth files add are left out: they are the
# host's own code, not installed.
PROBE = """
import json, site, sys, sysconfig
print(json.dumps({
    "executable": sys.executable, "prefix": sys.prefix, "base_prefix": sys.base_prefix,
    "base_executable": getattr(sys, "_base_executable", sys.executable),
    "standard": [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")],
    "site": [p for p in site.getsitepackages() if p in sys.path],
    "version": "%d.%d" % sys.version_info[:2],
    "release": sys.version.split()[0],
}))
"""
PROBE_SECONDS = 60


class Interpreter(NamedTuple):
    """A Python, as it describes itself; paths are absolute."""

    executable: str
    base_executable: str
    prefix: str
    base_prefix: str
    standard: list[str]
    site: list[str]
    version: str
    release: str

    @property
    def is_venv(self) -> bool:
        """Say whether it is a virtual environment's."""
        return self.prefix != self.base_prefix


def ask(executable: str) -> Interpreter:
    """Return what the Python at `executable` says of itself; InvalidParameter if it is none."""
    return Interpreter(**json.loads(_run(executable)))


def _run(executable: str) -> str:
    if not os.path.isabs(executable):
        raise InvalidParameter(f"{executable}: give the absolute path of a Python interpreter")
    try:
        done = subprocess.run(
            [executable, "-I", "-c", PROBE],
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_SECONDS,
            env={"LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InvalidParameter(
            f"{executable} cannot be captured: not a Python that runs"
        ) from error
    return done.stdout


def collect(python: Interpreter, tree: Tree) -> None:
    """Add the interpreter, its standard library and what is installed beside it."""
    for path in (python.executable, python.base_executable):
        tree.add(path)
    folder = os.path.dirname(python.base_executable)
    for name in (f"python{python.version}", "python3", "python"):
        tree.add(os.path.join(folder, name))
    for path in python.standard:
        tree.add_folder(path, _skip_standard)
    for path in python.site:
        tree.add_folder(path, _skip_site)
    if python.is_venv:
        tree.add(os.path.join(python.prefix, "pyvenv.cfg"))
        tree.add_folder(os.path.join(python.prefix, "bin"), _skip_site)
    elif python.prefix != "/usr":
        tree.add_folder(os.path.join(python.prefix, "bin"), _skip_site)
    for name in ("share/jupyter/kernels", "share/zoneinfo"):
        if python.prefix != "/usr":
            tree.add_folder(os.path.join(python.prefix, name), _skip_site)


def _skip_standard(path: str, folder: bool) -> bool:
    # The interpreter's own tests and its static library are as large as all the rest.
    name = os.path.basename(path)
    if not folder:
        return name.endswith((".a", ".o"))
    return name in ("site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test")


def _skip_site(path: str, folder: bool) -> bool:
    name = os.path.basename(path)
    return name == "__pycache__" if folder else name.endswith(".a")
