"""This project's engine on folders of its own, started as every client starts it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import docker

from ipycontainer_runtime import client
from ipycontainer_runtime.paths import Paths
from support import leftovers
from support.hosts import Host

# These may stay in the run folder of an engine that has left.
KEPT = {"activation.lock", "engine.log", "engine.pid", "shims"}


class Engine(Host):
    """Our engine; `paths` are its folders, below /tmp so that sockets have short names."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "run/engine.sock", folder)
        self.paths = Paths(folder / "root", folder / "run")

    @cached_property
    def client(self) -> docker.DockerClient:
        """A docker-py client that starts the engine again whenever it has gone."""
        return client.connect(where=self.paths)

    @property
    def variables(self) -> dict[str, str]:
        """The environment that makes our own clients use this engine."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        root, run = str(self.paths.root), str(self.paths.run)
        return {**kept, "IPYCONTAINER_ROOT": root, "IPYCONTAINER_RUN": run}

    @property
    def pid(self) -> int:
        """The engine's process id; fails the test when it does not run."""
        found = client.pid(self.paths)
        assert found is not None, client.logs(self.paths)
        return found

    @property
    def log(self) -> str:
        """What the engine wrote to its standard error."""
        return client.logs(self.paths)

    def start(self) -> None:
        """Start the engine, unless it runs, and keep it up for clients that cannot start it."""
        client.url(self.paths)

    def kill(self) -> None:
        """End the engine's process by SIGKILL and wait until it is gone."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        assert not leftovers.outlived([pid])

    def remove_containers(self) -> None:
        """Remove every container, running or not."""
        for container in self.client.api.containers(all=True):
            self.client.api.remove_container(container["Id"], force=True)

    def run_python(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `code` in a Python of its own whose default engine is this one."""
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(
            command, env=self.variables, capture_output=True, text=True, timeout=120, check=False
        )


@contextmanager
def running_engine(become: Sequence[str] = ()) -> Iterator[Engine]:
    """Yield a running engine on empty folders; afterwards nothing of it may be left.

    `become` is a command that executes the one that follows it, in another world.
    """
    with engine_folder() as engine:
        try:
            if become:
                url = "from ipycontainer_runtime import client; client.url()"
                command = [*become, sys.executable, "-c", url]
                subprocess.run(command, env=engine.variables, check=True)
            engine.start()
            yield engine
        finally:
            engine.remove_containers()
            engine.close()
            left = stop(engine)
    assert not left, "\n".join(["the engine left behind:", *left])


@contextmanager
def engine_folder() -> Iterator[Engine]:
    """Yield an engine that was not started yet; afterwards it is ended by force if it is there."""
    folder = Path(tempfile.mkdtemp(prefix="ipyc-e", dir="/tmp"))
    try:
        yield Engine(folder)
    finally:
        by_force(folder)


def stop(engine: Engine, disk: Path | None = None) -> list[str]:
    """Stop an engine without containers, and return what is left of it in words.

    `disk` is mounted by the test itself.
    """
    client.stop(engine.paths)
    pids = leftovers.outlived(leftovers.processes(engine.home))
    words = [f"process {leftovers.command(pid)}" for pid in pids]
    mounts = set(leftovers.mounts(engine.home)) - {str(disk)}
    words += [f"mount {point}" for point in mounts]
    words += [f"cgroup {path}" for path in leftovers.cgroups(engine.paths.run)]
    words += [f"interface {name}" for name in leftovers.interfaces(engine.paths.root)]
    words += [f"rules {name}" for name in leftovers.tables(engine.paths.root)]
    words += [f"file {path}" for path in _files(engine.paths)]
    if words or "Traceback" in engine.log:
        words += ["and its log says:", engine.log]
    return words


def _files(paths: Paths) -> Iterator[Path]:
    # Not the trash: an engine that leaves empties what it can in half a second, the next the rest.
    for folder in (paths.root / "containers", paths.run / "shims"):
        if folder.is_dir():
            yield from folder.iterdir()
    for path in paths.run.iterdir():
        if path.name not in KEPT and path.suffix != ".bpf":
            yield path


def by_force(folder: Path) -> None:
    """End every process that belongs to `folder` and remove it."""
    end_processes(folder)
    # Overlay makes its `work` folder with no mode at all, which an ordinary user cannot list.
    for path in folder.glob("root/containers/*/work/work"):
        path.chmod(0o700)
    try:
        shutil.rmtree(folder)
    except PermissionError:
        # A layer's folders may be those of an ordinary user's further ids, until trash is emptied.
        mapped = ["unshare", "--user", "--map-root-user", "--map-auto"]
        subprocess.run([*mapped, "rm", "-rf", folder], check=True)


def end_processes(folder: Path) -> None:
    """End every process that belongs to `folder`."""
    pids = leftovers.processes(folder)
    leftovers.kill(pids)
    leftovers.outlived(pids)
