"""Where RUN runs: a container without a record, prepared once for all steps of a stage.

Host files, filter, capabilities and bundle are made once. A step brings its own root and its
command, and takes a process that was cloned ahead, in new namespaces and in a cgroup of its own.
What it wrote is a layer then, so nothing of its processes may be left: they end with its first.
"""

import asyncio
import codecs
import contextlib
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from ipycontainer_runtime.engine import operations
from ipycontainer_runtime.engine.building.layering import Delta
from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.create import check_host, complete
from ipycontainer_runtime.engine.execs import FilterPath
from ipycontainer_runtime.engine.joining import Find, Joined, join
from ipycontainer_runtime.engine.mounts import Placed
from ipycontainer_runtime.engine.networks.attachments import Attachments
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.networks.places import places
from ipycontainer_runtime.engine.security import Security, security
from ipycontainer_runtime.engine.spec import build_spec
from ipycontainer_runtime.errors import StartFailed
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.oci.runtime import Mount
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import (
    AttachOptions,
    Event,
    Exited,
    LogOptions,
    StartRequest,
)
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import Config, HostConfig, Record, State

LENT = "secret-"
"""What the name of a folder begins with that has a secret, for the length of a step."""
RUNNING = "running-"
"""What the name of a file begins with that has the id of a command: see `leftovers`."""

Say = Callable[[str], Awaitable[None]]
_READ = 1 << 16


@dataclass(frozen=True)
class Machine:
    """What sandboxes need of the engine."""

    shims: Spawner
    cgroups: Cgroups
    seccomp: FilterPath
    grade: Grade
    attachments: Attachments
    networks: Networks
    find: Find
    paths: Paths


class Command(NamedTuple):
    """What a step executes."""

    words: tuple[str, ...]
    environment: tuple[str, ...]
    user: str
    folder: str
    mounts: Sequence[Mount] = ()
    network: str = ""
    """none or host; empty for the build's own."""


class Ended(NamedTuple):
    """How a step's command ended; `oom` says that its memory limit did it."""

    code: int
    oom: bool


class Sandbox:
    """Runs the commands of one stage, one after the other."""

    def __init__(self, machine: Machine, host: HostConfig, folder: Path, name: str) -> None:
        self._machine = machine
        self._folder = folder / name
        self._folder.mkdir()
        self._hosts: dict[str, tuple[HostConfig, Security]] = {}
        self._asked = host
        self._hostname = secrets.token_hex(6)

    def _host(self, network: str) -> tuple[HostConfig, Security]:
        """Return the checked settings of the network that a command asks for."""
        network = network or self._asked.network_mode
        if network not in self._hosts:
            host = msgspec.structs.replace(self._asked, network_mode=network)
            check_host(host)
            self._hosts[network] = host, security(host)
        return self._hosts[network]

    def _record(self, command: Command, identity: str) -> tuple[Record, Security]:
        host, allowed = self._host(command.network)
        config = Config(
            hostname="" if host.network_mode == "host" else self._hostname,
            env=list(command.environment),
            cmd=list(command.words),
            user=command.user,
            working_dir=command.folder,
        )
        complete(config, host, identity)
        record = Record(
            id=identity,
            name=identity[:12],
            created="",
            created_ns=0,
            image="",
            chain=[],
            platform="linux",
            config=config,
            host_config=host,
            networks=places(None, config, host, self._machine.networks),
        )
        return record, allowed

    async def run(self, command: Command, delta: Delta, say: Say) -> Ended:
        """Run a command over a delta's root to its end; `say` is given its output as it comes.

        A command whose output is not taken waits, once its pipe is full.

        Raises StartFailed where it cannot be executed. Whoever waits for this may be cancelled:
        the command is killed then, and has ended before this returns.
        """
        identity = secrets.token_hex(32)
        record, allowed = self._record(command, identity)
        marker = self._mark(record)
        container = Container(record, State(), str(self._folder))
        ended: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()

        def on_event(event: Event) -> None:
            if isinstance(event, Exited) and not ended.done():
                ended.set_result(event)

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            shim = await self._machine.shims.shim(identity, on_event)
        except BaseException:
            for sock in (ours, theirs):
                sock.close()
            marker.unlink()
            raise
        try:
            shim.attach(theirs, AttachOptions(framed=False))
            reading = asyncio.create_task(_read(ours, say))
            try:
                return await self._through(container, allowed, command, delta, shim, ended, reading)
            finally:
                await _stopped(reading)
        finally:
            ours.close()
            shim.close()
            self._machine.attachments.ended(container)
            marker.unlink()

    def _mark(self, record: Record) -> Path:
        """Write for the next engine who runs here."""
        marker = self._folder / f"{RUNNING}{record.id}"
        marker.touch()
        return marker

    async def _through(
        self,
        container: Container,
        allowed: Security,
        command: Command,
        delta: Delta,
        shim: ShimConnection,
        ended: "asyncio.Future[Exited]",
        reading: "asyncio.Task[None]",
    ) -> Ended:
        try:
            await self._start(container, allowed, command, delta, shim)
            exited = await _either(ended, shim.closed)
            await reading
        except BaseException:
            await asyncio.shield(self._kill(shim, ended))
            raise
        if exited is None:  # the shim was killed, and its container with it
            self._machine.shims.clear(container.id)
            await asyncio.to_thread(self._machine.cgroups.clear, shim.cgroup)
            return Ended(137, False)
        return Ended(exited.code, exited.oom)

    async def _start(
        self,
        container: Container,
        allowed: Security,
        command: Command,
        delta: Delta,
        shim: ShimConnection,
    ) -> None:
        machine = self._machine
        async with delta.layering.still():
            with contextlib.closing(await join(container, machine.find, machine.grade)) as joined:
                async with machine.attachments.wired(container, shim, joined, machine.grade):
                    spec = self._spec(container, allowed, command, delta, joined)
                request = StartRequest(
                    spec=spec,
                    state_dir=self._folder,
                    log=LogOptions("none", self._folder / "log"),
                    resources=spec["linux"]["resources"],
                )
                try:
                    await shim.start(request)
                except StartFailed as error:
                    raise operations.in_words(error, spec) from error

    def _spec(
        self,
        container: Container,
        allowed: Security,
        command: Command,
        delta: Delta,
        joined: Joined,
    ) -> dict[str, Any]:
        """Write what a step gets of its host, and return its bundle."""
        machine = self._machine
        if not joined.files:
            machine.attachments.write_files(container)
        spec = build_spec(
            container.record,
            folder=str(self._folder),
            rootfs=delta.mounts(points=True),
            placed=Placed(list(command.mounts), []),
            security=allowed,
            seccomp=machine.seccomp(allowed),
            cgroups=machine.cgroups,
            grade=machine.grade,
            joined=joined,
        )
        spec["ipycontainer"]["rootfs_path"] = str(delta.at)
        return cast(dict[str, Any], spec)

    async def _kill(self, shim: ShimConnection, ended: "asyncio.Future[Exited]") -> None:
        """Kill the command, if it was started, and return once it has ended."""
        if shim.closed.done() or ended.done():
            return
        with contextlib.suppress(Exception):  # it has ended, or was never started
            await shim.signal(signal.SIGKILL)
            await _either(ended, shim.closed)


async def _either(ended: "asyncio.Future[Exited]", closed: "asyncio.Future[None]") -> Exited | None:
    either: list[asyncio.Future[Any]] = [ended, closed]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    return ended.result() if ended.done() else None


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _read(sock: socket.socket, say: Say) -> None:
    """Read what a command says until nobody can say any more."""
    loop = asyncio.get_running_loop()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while data := await loop.sock_recv(sock, _READ):
        if text := decoder.decode(data):
            await say(text)
    if text := decoder.decode(b"", final=True):
        await say(text)
