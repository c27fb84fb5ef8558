"""Our engine as an ordinary user has it where something is missing; its clients are root's."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipycontainer_runtime import activation
from ipycontainer_runtime.paths import Paths
from support import ends, leftovers
from support.hosts import Host
from support.users import OrdinaryUser

CHECKOUT = Path(__file__).parents[2]
NO_RANGES = "mount --bind /dev/null /etc/subuid"


class Graded(Host):
    """An engine at `paths`, which does not start again when it has left."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "run/engine.sock", folder)
        self.paths = Paths(folder / "root", folder / "run")

    @property
    def log(self) -> str:
        """What the engine wrote to its standard error."""
        return (self.home / "log").read_text()


@contextmanager
def serving(user: OrdinaryUser, folder: Path, first: str, *, last: bool = True) -> Iterator[Graded]:
    """Yield the engine of `user` on `folder`, after root's shell command `first`.

    That is run in a mount namespace of its own. The `last` one on a folder fails the test when
    something of a container is left.
    """
    engine = Graded(folder)
    os.chown(folder, user.uid, user.gid)
    engine.paths.run.mkdir(mode=0o700, exist_ok=True)
    listener = activation.listen(engine.paths)
    os.chown(engine.paths.run, user.uid, user.gid)
    command = _command(user, first, "--fd", str(listener.fileno()))
    with listener, (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env=_variables(engine.paths),
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    left: list[str] = []
    try:
        yield engine
        if last:
            left = _remove_containers(engine)
    finally:
        engine.close()
        ends.end(process)
    if last:
        left += map(leftovers.command, leftovers.outlived(leftovers.processes(folder)))
    assert not left, (left, engine.log)
    assert "Traceback" not in engine.log, engine.log


@contextmanager
def with_one_id(user: OrdinaryUser) -> Iterator[Graded]:
    """Yield the engine of `user` on an empty folder, with no range of subordinate ids."""
    with own_folder() as folder, serving(user, folder, NO_RANGES) as engine:
        yield engine


def refused(user: OrdinaryUser, folder: Path, first: str) -> str:
    """Return the last words of an engine that does not start on `folder`."""
    command = _command(user, first)
    environment = _variables(Graded(folder).paths)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    return done.stderr


def _command(user: OrdinaryUser, first: str, *options: str) -> list[str]:
    become = f"exec {CHECKOUT}/scripts/as-user {user.name} .venv/bin/python -m ipycontainer_runtime"
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"{first} && {become} serve --idle 0 {' '.join(options)}",
    ]


def _variables(paths: Paths) -> dict[str, str]:
    own = {"IPYCONTAINER_ROOT": str(paths.root), "IPYCONTAINER_RUN": str(paths.run)}
    return {**os.environ, **own, "PYTHONPATH": str(CHECKOUT / "runtime")}


def _remove_containers(engine: Graded) -> list[str]:
    for container in engine.client.api.containers(all=True):
        engine.client.api.remove_container(container["Id"], force=True)
    return [f"folder {path}" for path in (engine.paths.root / "containers").iterdir()]


@contextmanager
def own_folder() -> Iterator[Path]:
    """Yield a folder with a short name, and remove it with what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="ipyc-g", dir="/tmp"))
    try:
        yield folder
    finally:
        pids = leftovers.processes(folder)
        leftovers.kill(pids)
        leftovers.outlived(pids)
        shutil.rmtree(folder)
