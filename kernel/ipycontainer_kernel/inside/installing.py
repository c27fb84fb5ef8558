"""`%pip` in a kernel's container: also where the image has no pip, or no network."""

import importlib
import os
import shlex
import shutil
import site
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

# A folder that is executed: so pip finds itself, and nothing else finds it.
PIP = "/run/ipycontainer-wheels/pip/pip"
_OFFLINE = (
    "%pip: this kernel's container has no network, so no package index can be reached. Install from"
    " wheels in a folder with `%pip install --no-index --find-links FOLDER NAME`, or install the"
    " kernel with `--network bridge`."
)


def load_ipython_extension(shell: Any) -> None:
    """Register `%pip` in place of IPython's, which runs the image's pip alone."""

    def pip(line: str) -> None:
        """Run pip for this kernel's Python."""
        with _settings():
            if shutil.which("sh"):
                shell.system(" ".join([*map(shlex.quote, command()), line]))
            else:
                shell.user_ns["_exit_code"] = without_shell([*command(), *shlex.split(line)])
        see_sites()
        importlib.invalidate_caches()
        if offline() and shell.user_ns.get("_exit_code"):
            print(_OFFLINE, file=sys.stderr)

    shell.register_magic_function(pip, "line", "pip")


def command() -> "list[str]":
    """Return the words that run the image's pip, else the injected one; it may be neither."""
    if find_spec("pip") is None and os.path.exists(PIP):
        return [sys.executable, PIP]
    return [sys.executable, "-m", "pip"]


def offline() -> bool:
    """Tell whether the container has no interface but its loopback."""
    return all(name == "lo" for _, name in socket.if_nameindex())


@contextmanager
def _settings() -> Iterator[None]:
    """Give pip what is right here, unless somebody decided otherwise.

    A distribution marks its Python as its own to manage (PEP 668); this one is the kernel's alone,
    and goes with it. Without a network a second attempt is time lost.
    """
    given = {"PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    given["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if offline():
        given["PIP_RETRIES"] = "0"
    given = {name: value for name, value in given.items() if name not in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)


def without_shell(words: "list[str]") -> int:
    """Run a command in an image that has no shell; return its exit code."""
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line.decode(errors="replace"), end="", flush=True)
        except KeyboardInterrupt:
            process.terminate()
            raise
    return process.returncode


def see_sites() -> None:
    """Take up the folders of packages that pip has just made, as the next start would.

    What was injected stays behind them.
    """
    folders = [
        *site.getsitepackages(),
        *([site.getusersitepackages()] * bool(site.ENABLE_USER_SITE)),
    ]
    new = [folder for folder in folders if folder not in sys.path and os.path.isdir(folder)]
    last = [path for path in sys.path if path.startswith("/run/ipycontainer-wheels/")]
    for folder in new:
        site.addsitedir(folder)
    if new:
        sys.path[:] = [path for path in sys.path if path not in last] + last
