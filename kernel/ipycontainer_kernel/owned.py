"""A kernel in a container that this process owns: its folder, its container, and their end.

The provisioner has one for each kernel, the launcher has one. Made by `start`; `restart` uses the
same sockets again, so that clients come back to them by themselves; `close` leaves nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipycontainer.failures import Failure
from ipycontainer_kernel.acts import Keeping
from ipycontainer_kernel.checkpoints import restore
from ipycontainer_kernel.commands import inside, unix_connection
from ipycontainer_kernel.container import KernelContainer, sweep
from ipycontainer_kernel.control import Control
from ipycontainer_kernel.fate import Fate
from ipycontainer_kernel.folders import PORTS, Arrivals, KernelFolder, socket_names
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.tcp import ports_for
from ipycontainer_kernel.threads import in_thread

if TYPE_CHECKING:
    from docker import DockerClient

READY_SECONDS = 60
"""How long a kernel may take to make its sockets; a client that is then told of it waits itself."""
_CONNECT_SECONDS = 5
_RETRY_SECONDS = 0.1
"""Nothing tells of a port that somebody begins to listen at on another computer."""


class OwnedKernel:
    """One kernel of this process; `signing` is the jupyter_client session that signs for it.

    `told` gets each line that the kernel writes, `warned` what a person should know of it.
    """

    def __init__(
        self,
        settings: Settings,
        signing: Any,
        *,
        client: DockerClient | None = None,
        told: Callable[[str], object] = lambda _line: None,
        warned: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.container: KernelContainer | None = None
        self._signing = signing
        self._client = client
        self._told = told
        self._warned = warned
        self._by_tcp = False
        self._ports: tuple[int, ...] = ()  # of this side, which clients go on using
        self._folder = KernelFolder()
        self._control: Control | None = None
        self._keeps = Keeping()

    @property
    def sockets(self) -> Path:
        """The folder of its sockets on this computer."""
        return self._folder.sockets

    async def start(self, notebook: Path | None, extra: Sequence[str] = ()) -> dict[str, Any]:
        """Start a container, wait until its sockets are there, and return the connection.

        `notebook` is the notebook's folder. Raises `Failure` when there will be no kernel.
        """
        connection = await asyncio.to_thread(self._begin, notebook, extra)
        assert self.container is not None
        fate = await self._ready(self.container, connection)
        if fate is not None:
            await self.end()
            raise Failure(f"kernel {self.settings.name or self.settings.image}: {fate.words}")
        return connection

    async def _ready(self, container: KernelContainer, connection: dict[str, Any]) -> Fate | None:
        """Wait until the kernel can be reached; return its fate when it has ended instead."""
        if self._by_tcp:
            return await answering(connection["ip"], connection["shell_port"], container)
        if not self._folder.enter(container.pid):
            return await asyncio.wrap_future(container.ended)
        return await ready(self._folder, container)

    def _begin(self, notebook: Path | None, extra: Sequence[str]) -> dict[str, Any]:
        self._folder.leave()
        made = KernelContainer(self.settings, client=self._client, told=self._told)
        with made.explained():
            ports = ports_for(made.session, self.settings, self._ports)
        connection = unix_connection(self.settings, self._signing, stem=self._folder.stem)
        inner = inside(connection)
        self._folder.write_connection(inner if ports is None else ports.inside(inner))
        try:
            if ports is None:  # elsewhere nothing of this computer can be mounted
                self._listen(made)
            made.create(self._folder, notebook, extra, ports)
            made.start()
        except BaseException:
            self._hush()
            self._ports = ()  # somebody else may have one of them
            made.give_up()
            raise
        self._client, self.container = made.client, made
        if lost := self._keeps.begin_anew():
            self._warned(lost)
        self._by_tcp = ports is not None
        if ports is not None:
            self._warned(ports.told)
            connection = ports.outside(made.session, made.id, connection)
            self._ports = tuple(connection[name] for name in PORTS)
        # Not in the way of who waits for his kernel.
        threading.Thread(target=_sweep, args=(made,), name="sweep of kernels", daemon=True).start()
        return connection

    def _listen(self, container: KernelContainer) -> None:
        """Serve the container's control socket."""
        self._hush()
        self._control = Control(container, self._restore, self._keeps)
        self._control.start(self._folder.control)

    def _hush(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def _restore(self, name: str) -> None:
        """Give the container a checkpoint's files and start it anew; called by its control."""
        container = self.container
        if container is None:
            return

        api = container.session.api
        try:
            container.renew(lambda: restore(api, container.id, name, start=False))
            self._folder.enter(container.pid)
        except (Failure, OSError) as error:  # it was shut down meanwhile, for one
            if container.fate is not None:
                self._hush()
            self._told(f"checkpoint {name} was not restored: {error}")

    async def end(self) -> None:
        """End and remove the container; its folder stays for the next."""
        self._hush()
        if self.container is not None:
            await in_thread(self.container.remove)

    async def close(self) -> None:
        """Leave nothing."""
        try:
            await self.end()
        finally:
            self._folder.close()


async def ready(folder: KernelFolder, container: KernelContainer) -> Fate | None:
    """Wait until a kernel's sockets are there; return its fate when it has ended instead."""
    loop = asyncio.get_running_loop()
    arrivals = Arrivals(folder.sockets, socket_names())
    came = asyncio.Event()

    def look() -> None:
        arrivals.read()
        if arrivals.complete:
            came.set()

    if arrivals.complete:
        came.set()
    loop.add_reader(arrivals.descriptor, look)
    here = asyncio.ensure_future(came.wait())
    ended = asyncio.wrap_future(container.ended)
    both: set[asyncio.Future[Any]] = {here, ended}
    try:
        await asyncio.wait(both, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else None
    finally:
        here.cancel()
        ended.cancel()
        loop.remove_reader(arrivals.descriptor)
        arrivals.close()


async def answering(ip: str, port: int, container: KernelContainer) -> Fate | None:
    """Wait until a port of a kernel takes a connection; return its fate when it has ended instead.

    Raises `Failure` when none does in time: then it is bound where this computer does not get to.
    """
    until = asyncio.get_running_loop().time() + READY_SECONDS
    ended = asyncio.wrap_future(container.ended)
    while not ended.done():
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(ip, port), _CONNECT_SECONDS)
        except (OSError, asyncio.TimeoutError) as error:
            if asyncio.get_running_loop().time() > until:
                raise Failure(
                    f"the kernel's port {port} of {ip} does not answer: it is on the engine's"
                    f" computer, and DOCKER_HOST={container.session.address} leads by a tunnel,"
                    " or a firewall is between: give the engine's own address, and let them pass"
                ) from error
            await asyncio.wait({ended}, timeout=_RETRY_SECONDS)
        else:
            writer.close()
            return None
    return ended.result()


def _sweep(container: KernelContainer) -> None:
    with suppress(Exception):  # the next kernel sweeps, and nobody waits for this one
        sweep(container.session)
