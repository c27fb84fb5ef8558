"""A bundle of Debian's busybox, and an engine's side of its shim, for the tests of this folder."""

import asyncio
import itertools
import os
import shutil
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.log import read
from ipycontainer_runtime.shim.messages import (
    AttachOptions,
    Event,
    ExecRequest,
    Exited,
    LogOptions,
    Started,
    StartRequest,
)
from ipycontainer_runtime.shim.spawning import Spawner

CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
KINDS = ("mount", "pid", "network", "ipc", "uts", "cgroup")
APPLETS = (
    "sh cat id ls true yes head seq sleep tty stty wc dd echo md5sum printf kill ps awk env usleep"
)
_numbers = itertools.count()


class Image:
    """A read-only root with busybox in it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        (folder / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", folder / "bin/busybox")
        for name in APPLETS.split():
            (folder / "bin" / name).symlink_to("busybox")


def process(*args: str, **fields: Any) -> dict[str, Any]:
    """Return an OCI process."""
    sets = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    base = {"args": args, "env": ["PATH=/bin"], "cwd": "/", "capabilities": sets}
    return base | {"ipycontainer": {}} | fields


def bundle(image: Path, state: Path, process: dict[str, Any]) -> dict[str, Any]:
    """Return the runtime spec of a container whose own files are in `state`."""
    for name in ("upper", "work", "rootfs"):
        (state / name).mkdir(parents=True)
    options = {
        "lowerdir": [str(image)],
        "upperdir": str(state / "upper"),
        "workdir": str(state / "work"),
    }
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "process": process,
        "hostname": "box",
        "mounts": [
            {"type": "proc", "destination": "/proc", "options": quiet},
            {"type": "tmpfs", "destination": "/dev", "options": ["nosuid", "nodev"]},
            {"type": "devpts", "destination": "/dev/pts", "options": ["newinstance"]},
            {"type": "sysfs", "destination": "/sys", "options": [*quiet, "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in KINDS],
            "maskedPaths": ["/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"],
        },
        "ipycontainer": {
            "rootfs": [{"type": "overlay", "destination": "/", "options": options}],
            "rootfs_path": str(state / "rootfs"),
            "loopback": True,
        },
    }


@dataclass
class Container:
    """One container as the engine sees it."""

    id: str
    state: Path
    request: StartRequest
    connection: ShimConnection
    events: list[Event]
    exit: asyncio.Future[Exited]
    cgroup: str = ""

    @property
    def log(self) -> Path:
        return self.request.log.path

    async def start(self) -> Started:
        started = await self.connection.start(self.request)
        self.cgroup = started.cgroup
        return started

    def attach(self, **options: Any) -> socket.socket:
        """Attach a client and return its end, blocking."""
        ours, theirs = socket.socketpair()
        self.connection.attach(theirs, AttachOptions(**options))
        return ours

    async def exec(self, *args: str, **options: Any) -> tuple[Started, socket.socket]:
        ours, theirs = socket.socketpair()
        fields = {"tty": options.pop("tty", False), "stdin": options.get("stdin", False)}
        request = ExecRequest(
            options.pop("id", f"exec{next(_numbers)}"),
            process(*args, terminal=fields["tty"]),
            attach=AttachOptions(**options),
            **fields,
        )
        return await self.connection.exec(request, theirs), ours

    def text(self) -> bytes:
        """Return what is in the log."""
        entries = read(self.log, self.request.log.driver, lines=False)
        return b"".join(entry.data for entry in entries)

    async def exited(self, seconds: float = 30) -> Exited:
        return await asyncio.wait_for(asyncio.shield(self.exit), seconds)


class Engine:
    """A spawner of its own, in folders of its own, and the containers made with it."""

    def __init__(self, folder: Path, image: Image) -> None:
        self.paths = Paths(folder / "root", folder / "run")
        self.image = image
        self.spawner = Spawner(self.paths)
        self.containers: list[Container] = []

    async def __aenter__(self) -> "Engine":
        await self.spawner.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def container(
        self,
        *args: str,
        log: str = "local",
        log_options: LogOptions | None = None,
        tty: bool = False,
        **fields: Any,
    ) -> Container:
        """Return a container that only needs to be started."""
        identity = f"{os.getpid():08x}{next(_numbers):024x}{'0' * 32}"
        identity = identity[8:32][::-1] + identity[:8] + identity[32:]
        state = self.paths.root / "containers" / identity
        request = StartRequest(
            bundle(self.image.path, state, process(*args, terminal=tty)),
            state,
            log_options or LogOptions(log, state / "log"),
            tty=tty,
        )
        events: list[Event] = []
        ended: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()

        def on_event(event: Event) -> None:
            events.append(event)
            if isinstance(event, Exited):
                ended.set_result(event)

        connection = await self.spawner.shim(identity, on_event)
        made = Container(identity, state, replace(request, **fields), connection, events, ended)
        self.containers.append(made)
        return made

    async def run(self, *args: str, **fields: Any) -> Exited:
        container = await self.container(*args, **fields)
        await container.start()
        return await container.exited()

    async def close(self) -> None:
        for container in self.containers:
            if container.connection.closed.done():
                continue
            if container.exit.done():
                await container.connection.closed
                continue
            status = await container.connection.status()
            if status.pid:
                await container.connection.signal(9)
                await container.exited()
            else:
                container.connection.close()
        await self.spawner.close()


def children(pid: int) -> set[int]:
    return {int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def shim_of(pid: int) -> int:
    """Return the parent of a container's process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def vanished(pids: set[int]) -> None:
    """Wait for processes that are about to end."""
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(pidfd, lambda ended=ended: ended.done() or ended.set_result(None))
        await asyncio.wait_for(ended, 10)
        loop.remove_reader(pidfd)
        os.close(pidfd)
