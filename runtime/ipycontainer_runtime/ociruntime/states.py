"""What is known of a container between two calls of the command: a folder, a JSON file, a FIFO.

`<root>/<id>/state.json` is written when the container is created. Whether it is created, running,
paused or stopped is seen each time: by its process, whose start time tells a number used again, by
the FIFO it waits on, which goes when it is started, and by its cgroup.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from ..errors import Conflict, InvalidParameter, NotFound
from .groups import Groups

FIFO = "exec.fifo"
STATE = "state.json"
FILTER = "seccomp.bpf"


def default_root() -> str:
    """Return where containers are kept when --root is not given."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/ipycontainer-oci" if os.getuid() and runtime else "/run/ipycontainer-oci"


class Container:
    """One container, by its folder; `record` is what state.json holds."""

    def __init__(self, folder: str, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record
        self.id: str = record["id"]

    @property
    def spec(self) -> dict[str, Any]:
        """The bundle's spec, as it was when the container was created."""
        spec: dict[str, Any] = self.record["spec"]
        return spec

    @property
    def groups(self) -> Groups:
        """Its cgroups."""
        return Groups(self.record["cgroups"])

    @property
    def fifo(self) -> str:
        """The path of what its first process waits on until it is started."""
        return f"{self.folder}/{FIFO}"

    def status(self) -> str:
        """Return creating, created, running, paused or stopped."""
        if not self.record["pid"]:
            return "creating"
        if not self.alive():
            return "stopped"
        if os.path.exists(self.fifo):
            return "created"
        return "paused" if self.groups.frozen() else "running"

    def alive(self) -> bool:
        """Tell whether its first process is there, and is no zombie."""
        state, started = process_stat(self.record["pid"])
        return started == self.record["started"] and state not in ("Z", "X", "")

    def pidfd(self) -> int:
        """Return a pidfd of its first process; raises Conflict when it has ended."""
        pid = self.record["pid"]
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            if pid and self.alive():
                return fd
            os.close(fd)
        raise Conflict(f"container not running: {self.id} is {self.status()}")

    def state(self, status: str | None = None) -> dict[str, Any]:
        """Return the state that hooks and callers are told."""
        now = status or self.status()
        return {
            "ociVersion": self.spec["ociVersion"],
            "id": self.id,
            "pid": self.record["pid"] if now != "stopped" else 0,
            "status": now,
            "bundle": self.record["bundle"],
            "rootfs": self.spec["root"]["path"],
            "created": self.record["created"],
            "owner": self.record["owner"],
            "annotations": self.spec.get("annotations") or {},
        }

    def save(self) -> None:
        """Write state.json, whole or not at all."""
        # Variables of its processes are in it, and its folder can be entered by everybody.
        write_file(f"{self.folder}/{STATE}", json.dumps(self.record), 0o600)

    def forget(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder)


def new(root: str, name: str, bundle: str, spec: dict[str, Any]) -> Container:
    """Make a container's folder; raises Conflict when there is one of this name."""
    if not name or name in (".", "..") or set(name) - set(_NAME):
        raise InvalidParameter(f"invalid container id {name!r}: use letters, digits and _+-.")
    os.makedirs(root, 0o711, exist_ok=True)
    try:
        os.mkdir(f"{root}/{name}", 0o711)
    except FileExistsError as error:
        raise Conflict(f"container with given ID already exists: {name}") from error
    record = {
        "id": name,
        "bundle": bundle,
        "spec": spec,
        "pid": 0,
        "started": 0,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "owner": "root" if os.getuid() == 0 else str(os.getuid()),
        "cgroups": {},
    }
    return Container(f"{root}/{name}", record)


def find(root: str, name: str) -> Container:
    """Return a container; raises NotFound."""
    folder = f"{root}/{name}"
    try:
        if "/" in name:
            raise FileNotFoundError
        with open(f"{folder}/{STATE}", encoding="utf-8") as file:
            return Container(folder, json.load(file))
    except FileNotFoundError as error:
        raise NotFound(f"container does not exist: {name} is not below {root}") from error


def every(root: str) -> list[Container]:
    """Return all containers below `root`, by name."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return [find(root, name) for name in names if os.path.exists(f"{root}/{name}/{STATE}")]


@contextlib.contextmanager
def locked(container: Container) -> Iterator[None]:
    """Keep other calls from starting or deleting this container meanwhile."""
    fd = os.open(container.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if not os.path.exists(container.folder):
            raise NotFound(f"container does not exist: {container.id}")
        yield
    finally:
        os.close(fd)


def process_stat(pid: int) -> tuple[str, int]:
    """Return a process's state letter and start time in clock ticks; empty and 0 when it is gone.

    Source: /proc/PID/stat, proc(5); its name may hold blanks and parentheses.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
        return "", 0
    return fields[0], int(fields[19])


def write_file(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file under another name, then give it its own.

    That name was nobody's before: in a folder that others write to it could be a link of theirs.
    """
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(temporary, path)


_NAME = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-."
