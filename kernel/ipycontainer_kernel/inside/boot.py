"""The first program of a kernel's container: ipykernel, with what was injected at hand.

`python boot.py CONNECTION_FILE [ARGUMENT…]`, the arguments being ipykernel's. The image may have a
home that cannot be written, a read-only root, a user that nobody listed and no /tmp.
"""

import importlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
MOUNTED = "/run/ipycontainer-wheels"
PACKAGE = "ipycontainer_inside"
EXTENSIONS = ("completing", "installing", "magic")


def main(connection_file: str, *arguments: str) -> None:
    """Be the kernel of `connection_file` until it is shut down."""
    application(connection_file, *arguments).start()


def application(connection_file: str, *arguments: str) -> Any:
    """Return ipykernel's application, which has made its sockets."""
    # The process of that number is on the other side of a namespace: ipykernel would watch it die.
    os.environ.pop("JPY_PARENT_PID", None)
    settle_path()
    load_libraries(MOUNTED + "/lib")
    settle_temporary(connection_file)
    # The history goes with the container: a file of it would be a change that every cell makes.
    history = "--HistoryManager.hist_file=:memory:"
    sys.argv = [__file__, "-f", connection_file, history, *arguments]
    from ipykernel.kernelapp import IPKernelApp

    app = reachable(IPKernelApp).instance()
    with profile_at_need():
        app.initialize(sys.argv[1:])
    extend(app.shell)
    return app


def settle_path() -> None:
    """Make sys.path what it would be without us, and the injected packages its end."""
    if sys.path and sys.path[0] == HERE:
        del sys.path[0]
    if os.path.isdir(MOUNTED + "/site"):
        sys.path.append(MOUNTED + "/site")


def load_libraries(folder: str) -> None:
    """Load the libraries that the image lacks, for extensions to find."""
    if os.path.isdir(folder):
        from ctypes import CDLL, RTLD_GLOBAL

        # In their order (libgcc_s, libm, …, libstdc++): the last needs those before it.
        for name in sorted(os.listdir(folder)):
            CDLL(os.path.join(folder, name), mode=RTLD_GLOBAL)


def settle_temporary(connection_file: str) -> None:
    """Name a folder for temporary files where the image has none, as IPython needs one.

    Python would take the current folder then, which may be the notebook's.
    """
    try:
        usual = tempfile.gettempdir() != os.getcwd()
    except FileNotFoundError:
        usual = False
    if not usual:
        with open(connection_file) as file:
            sockets = os.path.dirname(json.load(file)["ip"])
        found = [path for path in ("/dev/shm", sockets) if os.access(path, os.W_OK)]  # noqa: S108 - a tmpfs of this container alone
        if not found:
            sys.exit("no folder here can be written, and a kernel needs one: mount a tmpfs at /tmp")
        os.environ["TMPDIR"] = tempfile.tempdir = found[0]


@contextmanager
def profile_at_need() -> Iterator[None]:
    """Leave no folders of IPython's in a home that had none: `%store` and others make them again.

    They would be in each checkpoint and each image that is made of the container. A home that is
    mounted may be that of other programs, which make theirs meanwhile.
    """
    home = os.path.expanduser("~")
    profile = os.path.join(home, ".ipython")
    there = os.path.lexists(profile)
    yield
    if there or not os.path.isdir(profile) or os.stat(home).st_dev != os.stat("/").st_dev:
        return
    for folder, _, files in os.walk(profile, topdown=False):
        with suppress(OSError):  # what has something in it stays
            if files == ["README"]:
                os.unlink(os.path.join(folder, "README"))
            os.rmdir(folder)


def reachable(base: Any) -> Any:
    """Return ipykernel's application with sockets that the notebook's user may connect to.

    They are files, made by root of this container, in a folder that nobody else can enter. Files
    that cells make keep the image's umask.
    """

    @contextmanager
    def open_to_all() -> Iterator[None]:
        before = os.umask(0)
        try:
            yield
        finally:
            os.umask(before)

    class ContainerKernelApp(base):  # type: ignore[misc] # its module is the image's, or injected
        def log_connection_info(self) -> None:
            """Say nothing: the log is for what goes wrong, and `--existing` is not for here."""

        def write_connection_file(self, **_more: Any) -> None:
            """Leave it: an old ipykernel writes it anew, and it can only be read."""

        def init_sockets(self) -> None:
            with open_to_all():
                super().init_sockets()

        def init_heartbeat(self) -> None:
            with open_to_all():
                super().init_heartbeat()

    return ContainerKernelApp


def extend(shell: Any) -> None:
    """Give the kernel its magics, from modules beside this file."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(HERE, "__init__.py"), submodule_search_locations=[HERE]
    )
    assert spec is not None
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    for name in EXTENSIONS:
        importlib.import_module(PACKAGE + "." + name).load_ipython_extension(shell)


if __name__ == "__main__":
    main(*sys.argv[1:])
