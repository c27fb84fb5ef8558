"""A container's places in networks: given at its start, taken at its end.

A start gets addresses first, which is arithmetic; then a thread lays the cables while the bundle
is composed. What a run has is written down before any of it is made, so that an engine that comes
after one that was killed knows whose address is whose.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.hostfiles import write_host_files
from ipycontainer_runtime.engine.joining import Joined
from ipycontainer_runtime.engine.namespaces import KINDS, own_kinds
from ipycontainer_runtime.engine.networks import hosting
from ipycontainer_runtime.engine.networks.endpoints import Endpoints, choose_route
from ipycontainer_runtime.engine.networks.ground import Ground
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.networks.opening import opened
from ipycontainer_runtime.engine.networks.publishing import Publishing
from ipycontainer_runtime.engine.runtimes import is_foreign
from ipycontainer_runtime.engine.spec import id_range
from ipycontainer_runtime.errors import ContainerError, NotFound
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.store import networks as store
from ipycontainer_runtime.store.networks import EndpointSettings, Network, Sandbox

_log = logging.getLogger(__name__)

Find = Callable[[str], Container]


class Attachments:
    """Puts containers into networks and takes them out."""

    def __init__(
        self,
        *,
        networks: Networks,
        ground: Ground,
        publishing: Publishing,
        endpoints: Endpoints,
        find: Find,
    ) -> None:
        self._networks = networks
        self._ground = ground
        self._publishing = publishing
        self._endpoints = endpoints
        self._find = find

    # -- a start

    async def foresee(self, network: Network) -> None:
        """Have what the first container of a new network needs; Docker's engine has it as well.

        Raises NotFound where the network has gone meanwhile, and Unavailable.
        """
        self._publishing.foresee_names(network)
        await self._ground.bring_up(network)

    async def _prepare(self, container: Container) -> Sandbox:
        """Find a run its places: bridges that are up, addresses, names. Written down here.

        Raises NotFound for a network that has gone, Forbidden for an address that is taken.
        """
        await self._publishing.all_taken_back()  # or theirs would lead to who has their addresses
        wanted = [
            (name, self._network(settings), settings)
            for name, settings in container.record.networks.items()
        ]
        for _, network, _ in wanted:
            await self._ground.bring_up(network)
        for _, network, settings in wanted:
            if self._networks.find(network.id) is None:  # removed while another came up
                raise NotFound(f"network {settings.network} not found")
        sandbox = Sandbox(id=secrets.token_hex(32))
        try:
            for name, network, settings in wanted:
                sandbox.endpoints[name] = self._endpoints.give(
                    container, sandbox, network, settings
                )
            sandbox.variables = hosting.variables(container, self._find)
        except ContainerError:
            self._endpoints.take_back(sandbox)
            raise
        choose_route(container, sandbox)
        store.save_sandbox(container.folder, sandbox)
        container.sandbox = sandbox
        return sandbox

    def _network(self, settings: EndpointSettings) -> Network:
        network = self._networks.find(settings.network)
        if network is None:
            raise NotFound(f"network {settings.network} not found")
        return network

    @contextlib.asynccontextmanager
    async def wired(
        self, container: Container, shim: ShimConnection, joined: Joined, grade: Grade
    ) -> AsyncIterator[None]:
        """Give a run its places in networks while the block composes its bundle.

        Addresses are known in the block, and after it everything is there. Raises what the block
        raises, NotFound for a network that has gone, Forbidden for an address that is taken,
        Unavailable, and ContainerError for a port that is taken.
        """
        self._publishing.foresee(container)
        sandbox = await self._prepare(container)
        netns = shim.take_network()
        host = container.record.host_config
        apart = id_range(container.record, grade) is not None
        cabled = any(end.interface for end in sandbox.endpoints.values())
        if cabled and not apart and (is_foreign(host) or [*own_kinds(host)] != [*KINDS]):
            # The parked process is replaced then, or another runtime makes one: it joins this.
            path = f"/proc/{os.getpid()}/fd/{netns}"
            joined.namespaces.append({"type": "network", "path": path})
        furnishing = asyncio.ensure_future(
            self._furnish(container, sandbox, shim, netns, apart=apart)
        )
        try:
            yield
        except BaseException:
            await asyncio.wait([furnishing])
            furnishing.exception()
            os.close(netns)
            raise
        joined.fds.append(netns)
        await furnishing

    async def _furnish(
        self,
        container: Container,
        sandbox: Sandbox,
        shim: ShimConnection,
        netns: int,
        *,
        apart: bool,
    ) -> None:
        """Make interfaces, names and ports; and tell who listens of it."""
        if apart and any(end.interface for end in sandbox.endpoints.values()):
            pin = await shim.pin(own_kinds(container.record.host_config))
            with opened(pin) as theirs:
                await self._make(container, sandbox, theirs, shim)
        else:
            await self._make(container, sandbox, netns, shim)

    async def _make(
        self, container: Container, sandbox: Sandbox, netns: int, shim: ShimConnection
    ) -> None:
        places = [
            (network, end)
            for end in sandbox.endpoints.values()
            if end.interface and (network := self._networks.find(end.network)) is not None
        ]
        if places:
            await self._ground.attach(places, netns)
        await self._publishing.begin(container, netns, shim.pid)
        self._tell("connect", container, sandbox)

    def _tell(self, action: str, container: Container, sandbox: Sandbox) -> None:
        """Tell subscribers of a run's networks; steps of builds are nobody's news."""
        with contextlib.suppress(NotFound):
            self._find(container.id)
            for end in sandbox.endpoints.values():
                if network := self._networks.find(end.network):
                    self._networks.publish(network, action, container=container.id)

    def write_files(self, container: Container) -> None:
        """Write what a container gets of its host: hosts, hostname, resolv.conf."""
        write_host_files(
            container.record,
            container.folder,
            container.sandbox,
            resolved=self._publishing.resolves(container),
            links=hosting.links(container, self._find),
            gateway=self._gateway(container),
        )

    def _gateway(self, container: Container) -> str:
        """Return the address by which a container reaches the machine; empty for none."""
        for end in container.sandbox.endpoints.values() if container.sandbox else ():
            network = self._networks.find(end.network)
            if network is not None and network.subnets:
                return network.subnets[0].gateway
        return "127.0.0.1" if container.record.host_config.network_mode == "host" else ""

    def ended(self, container: Container) -> None:
        """Take back what a run had that is over; its interfaces go with its namespace."""
        sandbox, container.sandbox = container.sandbox, None
        if sandbox is None:
            return
        store.forget_sandbox(container.folder)
        self._tell("disconnect", container, sandbox)
        self._publishing.end(container, sandbox, then=self._endpoints.take_back)

    async def taken_back(self, container: Container) -> None:
        """Return once nothing leads any more to a container that has ended."""
        await self._publishing.taken_back(container.id)

    # -- a new engine

    async def adopt(self, containers: Iterable[Container]) -> None:
        """Take up what runs of an earlier engine have; before anything else is started."""
        used: dict[str, Network] = {}
        kept = []
        for container in containers:
            sandbox = store.read_sandbox(container.folder)
            if sandbox is None:
                continue
            container.sandbox = sandbox
            kept.append(container)
            for end in sandbox.endpoints.values():
                network = self._networks.find(end.network)
                if network is None or not end.interface:
                    continue
                used[network.id] = network
                self._endpoints.hold(network, end)
        ports = [
            port for container in kept if container.sandbox for port in container.sandbox.published
        ]
        try:
            await self._ground.adopt([*used.values()], ports)
        except (ContainerError, OSError) as error:  # they run on with what they have
            _log.warning("networks of containers that run are not taken up: %s", error)

    async def settle(self, containers: Iterable[Container]) -> None:
        """Take back what runs had that have ended without their engine; after the recovery."""
        for container in containers:
            if not container.state.active and not container.lock.locked():
                self.ended(container)
        await self._publishing.settle(containers)

    async def leave(self, containers: Iterable[Container]) -> None:
        """Take away the networks in which nobody is; the engine ends."""
        inside = {
            end.network
            for container in containers
            if container.sandbox is not None
            for end in container.sandbox.endpoints.values()
        }
        self._publishing.close()
        await self._ground.leave(inside)
