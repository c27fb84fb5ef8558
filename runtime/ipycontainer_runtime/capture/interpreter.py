"""What belongs to a Python itself, asked of its own interpreter: the program and its library."""

import json
import os
import subprocess
from typing import NamedTuple

from ipycontainer_runtime.capture.tree import BYTECODE, CACHE, Skip, Tree
from ipycontainer_runtime.errors import InvalidParameter

# Run isolated, so that neither the current folder, nor PYTHON… variables, nor the user's own
# site-packages (in the home) have a say. Folders that .pth files add are left out: they are the
# host's own code, not installed.
PROBE = """
import json, platform, site, sys, sysconfig
print(json.dumps({
    "executable": sys.executable, "prefix": sys.prefix, "base_prefix": sys.base_prefix,
    "base_executable": getattr(sys, "_base_executable", sys.executable),
    "standard": [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix}),
    ],
    "site": [p for p in site.getsitepackages() if p in sys.path],
    "user_base": site.getuserbase(), "user_site": site.getusersitepackages(),
    "version": "%d.%d" % sys.version_info[:2],
    "release": sys.version.split()[0],
    "implementation": sys.implementation.name,
    "platform": sysconfig.get_platform(), "machine": platform.machine(),
    "cache_tag": sys.implementation.cache_tag or "",
}))
"""
PROBE_SECONDS = 60
# The interpreter's own tests and its static library are as large as all the rest.
_NOT_NEEDED = ("site-packages", "dist-packages", "test", "tests", "idle_test")
_VENV = ("activate", "Activate", "python", "pydoc")


class Interpreter(NamedTuple):
    """A Python, as it describes itself; paths are absolute."""

    executable: str
    base_executable: str
    prefix: str
    base_prefix: str
    standard: list[str]
    site: list[str]
    user_base: str
    user_site: str
    version: str
    release: str
    implementation: str
    platform: str
    machine: str
    cache_tag: str

    @property
    def is_venv(self) -> bool:
        """Say whether it is a virtual environment's."""
        return self.prefix != self.base_prefix

    @property
    def owns_prefix(self) -> bool:
        """Say whether all below its prefix is Python's: /usr is everybody's."""
        return self.prefix not in ("/", "/usr")

    @property
    def is_conda(self) -> bool:
        """Say whether conda made the environment."""
        return os.path.isdir(f"{self.prefix}/conda-meta")


def ask(executable: str) -> Interpreter:
    """Return what the Python at `executable` says of itself; InvalidParameter if it is none."""
    try:
        return Interpreter(**json.loads(_run(executable)))
    except (ValueError, TypeError) as error:
        raise _no_python(executable) from error


def _run(executable: str) -> str:
    if not os.path.isabs(executable):
        raise InvalidParameter(f"{executable}: give the absolute path of a Python interpreter")
    home = {"HOME": home} if (home := os.environ.get("HOME")) else {}
    try:
        done = subprocess.run(
            [executable, "-I", "-c", PROBE],
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_SECONDS,
            env={"LC_ALL": "C.UTF-8", **home},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_python(executable) from error
    return done.stdout


def _no_python(executable: str) -> InvalidParameter:
    return InvalidParameter(f"{executable} cannot be captured: not a Python that runs")


def collect(python: Interpreter, tree: Tree) -> None:
    """Add the program under its names, and its standard library."""
    tree.add(python.base_executable)
    folder = os.path.dirname(python.base_executable)
    for name in (f"python{python.version}", "python3", "python"):
        tree.add(os.path.join(folder, name))
    skip = without_bytecode(python, _skip_standard)
    for path in python.standard:
        tree.add_folder(path, skip)
    if python.owns_prefix:
        zones = os.path.join(python.base_prefix, "share/zoneinfo")
        tree.add_folder(zones, lambda _path, _folder: False)


def collect_environment(python: Interpreter, tree: Tree) -> None:
    """Add what makes a virtual environment of it, and the name by which it was asked for."""
    tree.add(python.executable)
    if python.is_venv:
        tree.add(os.path.join(python.prefix, "pyvenv.cfg"))
        tree.add_folder(os.path.join(python.prefix, "bin"), _skip_scripts)


def without_bytecode(python: Interpreter, skip: Skip) -> Skip:
    """Return `skip` that leaves out the bytecode of other Pythons and of `-O` too."""
    wanted = f".{python.cache_tag}{BYTECODE}"

    def skips(path: str, folder: bool) -> bool:
        if not folder and path.endswith(BYTECODE) and f"/{CACHE}/" in path:
            name = os.path.basename(path)
            return name.partition(".")[1] + name.partition(".")[2] != wanted
        return skip(path, folder)

    return skips


def _skip_standard(path: str, folder: bool) -> bool:
    name = os.path.basename(path)
    return name in _NOT_NEEDED if folder else name.endswith((".a", ".o"))


def _skip_scripts(path: str, folder: bool) -> bool:
    return folder or not os.path.basename(path).startswith(_VENV)
