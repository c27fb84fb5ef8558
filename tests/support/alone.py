"""Engines with a bridge, each in a network namespace of its own that goes when they have ended.

The machine's addresses and firewall are left alone: Docker would make itself its keeper.
"""

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support import images
from support.dockerd import running_dockerd
from support.engines import Engine, running_engine
from support.hosts import Host

# A new namespace's loopback interface is down.
ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
IMAGE = "bb"
FULL = "full"
"""The same with a volume that has a file in it, and with exposed ports."""
_CHANGES = {
    IMAGE: ["CMD sh", f"ENV PATH={images.PATH}"],
    FULL: ["CMD sh", f"ENV PATH={images.PATH}", "VOLUME /data", "EXPOSE 80 90/udp"],
}


@contextmanager
def docker_alone() -> Iterator[tuple[Host, int]]:
    """Yield a dockerd with its bridge and firewall, and the id of a process in its namespace."""
    with running_dockerd(become=ALONE, bridge=True) as host:
        _import(host)
        try:
            yield host, int((host.home / "pid").read_text())
        finally:
            _remove(host)


@contextmanager
def engine_alone() -> Iterator[tuple[Engine, int]]:
    """Yield our engine, and the id of a process in its namespace.

    An ordinary user's makes a place of its own for its bridges; its ports are the machine's.
    """
    with running_engine(ALONE if os.getuid() == 0 else ()) as engine:
        _import(engine)
        yield engine, engine.pid


def _import(host: Host) -> None:
    archive = io.BytesIO()
    images.write_busybox(archive, {"data/file": b"given\n"})
    for name, changes in _CHANGES.items():
        flags = [word for change in changes for word in ("-c", change)]
        host.succeed("import", *flags, "-", name, stdin=archive.getvalue())


def _remove(host: Host) -> None:
    """Remove every container, so that none outlives the engine that knows of it."""
    ids = [entry["Id"] for entry in host.client.api.containers(all=True)]
    for one in ids:
        host.client.api.remove_container(one, force=True, v=True)


def inside(pid: int) -> list[str]:
    """Return the command that executes the one that follows it in the namespace of `pid`."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


def run_inside(pid: int, *command: str) -> str:
    """Run a command where the ports of the engine `pid` are, and return what it prints."""
    enter = inside(pid) if os.getuid() == 0 else []
    done = subprocess.run([*enter, *command], capture_output=True, text=True, check=True)
    return done.stdout
