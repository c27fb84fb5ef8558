"""A container's places in networks: given at its start, taken at its end, changed while it runs.

A start gets addresses first, which is arithmetic; then a thread lays the cables while the bundle
is composed. What a run has is written down before any of it is made, so that an engine that comes
after one that was killed knows whose address is whose.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.hostfiles import renew_host_files, write_host_files
from ipycontainer_runtime.engine.joining import Joined
from ipycontainer_runtime.engine.namespaces import KINDS, own_kinds
from ipycontainer_runtime.engine.networks import hosting
from ipycontainer_runtime.engine.networks.ground import Ground
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.networks.publishing import Publishing
from ipycontainer_runtime.engine.runtimes import is_foreign
from ipycontainer_runtime.engine.spec import id_range
from ipycontainer_runtime.errors import Conflict, ContainerError, NotFound
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.linux.netns import opened_of
from ipycontainer_runtime.network.addresses import Addresses, mac_of
from ipycontainer_runtime.network.bridge import INTERFACE, device_name
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.store import networks as store
from ipycontainer_runtime.store.networks import Endpoint, EndpointSettings, Network, Sandbox

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
        find: Find,
    ) -> None:
        self._networks = networks
        self._ground = ground
        self._publishing = publishing
        self._find = find
        self._addresses: dict[str, list[Addresses]] = {}
        """Of each network with somebody in it, by its id."""

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
                sandbox.endpoints[name] = self._endpoint(container, sandbox, network, settings)
            sandbox.variables = hosting.variables(container, self._find)
        except ContainerError:
            self._give_back(sandbox)
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

    def _endpoint(
        self, container: Container, sandbox: Sandbox, network: Network, settings: EndpointSettings
    ) -> Endpoint:
        """Return a container's place in a network, with addresses of its own."""
        identity = secrets.token_hex(32)
        if network.driver != "bridge":
            return Endpoint(id=identity, network=network.id, interface="", device="", mac="")
        endpoint = Endpoint(
            id=identity,
            network=network.id,
            interface=_free_interface(sandbox, network.options.get(INTERFACE, "eth")),
            device=device_name(),
            mac=settings.mac,
            names=names_of(container, network, settings),
        )
        try:
            for pool, subnet in zip(self._pools(network), network.subnets, strict=True):
                gateway = "" if network.internal else subnet.gateway
                if pool.pool.version == 4:
                    endpoint.ipv4, endpoint.gateway = pool.take(settings.ipv4), gateway
                else:
                    endpoint.ipv6, endpoint.gateway6 = pool.take(settings.ipv6), gateway
        except ContainerError:
            self._give_back_one(endpoint)
            raise
        endpoint.mac = endpoint.mac or mac_of(endpoint.ipv4.partition("/")[0])
        return endpoint

    def _pools(self, network: Network) -> list[Addresses]:
        pools = self._addresses.get(network.id)
        if pools is None:
            pools = [Addresses(subnet) for subnet in network.subnets]
            self._addresses[network.id] = pools
        return pools

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
            with _opened(pin) as theirs:
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
        self._give_back(sandbox)
        store.forget_sandbox(container.folder)
        self._tell("disconnect", container, sandbox)
        self._publishing.end(container, sandbox)

    async def taken_back(self, container: Container) -> None:
        """Return once nothing leads any more to a container that has ended."""
        await self._publishing.taken_back(container.id)

    def _give_back(self, sandbox: Sandbox) -> None:
        for endpoint in sandbox.endpoints.values():
            self._give_back_one(endpoint)

    def _give_back_one(self, endpoint: Endpoint) -> None:
        pools = self._addresses.get(endpoint.network, [])
        for pool in pools:
            for address in (endpoint.ipv4, endpoint.ipv6):
                if address and pool.has(address):
                    pool.release(address)
        if pools and not any(pool.taken for pool in pools):
            del self._addresses[endpoint.network]  # with no one in it subnets may change

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
                for pool in self._pools(network):
                    for address in (end.ipv4, end.ipv6):
                        if address and pool.has(address):
                            pool.hold(address)
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

    # -- a run that goes on

    async def connect(
        self, container: Container, network: Network, settings: EndpointSettings
    ) -> None:
        """Put a container into one more network, at once where it runs."""
        sandbox = container.sandbox
        if sandbox is None or not container.state.running:
            return
        await self._ground.bring_up(network)
        endpoint = self._endpoint(container, sandbox, network, settings)
        sandbox.endpoints[network.name] = endpoint
        try:
            store.save_sandbox(container.folder, sandbox)
            with _namespace(container) as netns:
                await self._ground.attach([(network, endpoint)], netns)
                await self._route(container, sandbox, netns)
            self._renew_files(container, come=endpoint)
            await self._publishing.change(container)
        except BaseException:
            with contextlib.suppress(ContainerError):
                await self._ground.detach(network, endpoint)
            del sandbox.endpoints[network.name]
            self._give_back_one(endpoint)
            store.save_sandbox(container.folder, sandbox)
            raise
        self._networks.publish(network, "connect", container=container.id)

    async def renamed(self, container: Container) -> None:
        """Have a container that runs found by its new name, and no more by its old one."""
        sandbox = container.sandbox
        if sandbox is None or not container.state.running:
            return
        for name, end in sandbox.endpoints.items():
            network = self._networks.find(end.network)
            if network is not None and end.interface:
                end.names = names_of(container, network, container.record.networks[name])
        store.save_sandbox(container.folder, sandbox)
        await self._publishing.change(container)

    async def disconnect(self, container: Container, network: Network) -> None:
        """Take a container out of a network, at once where it runs."""
        sandbox = container.sandbox
        endpoint = sandbox.endpoints.get(network.name) if sandbox else None
        if sandbox is None or endpoint is None:
            return
        if endpoint.interface:
            await self._ground.detach(network, endpoint)
        del sandbox.endpoints[network.name]
        if endpoint.interface:
            with contextlib.suppress(Conflict), _namespace(container) as netns:
                await self._route(container, sandbox, netns)
        self._give_back_one(endpoint)
        store.save_sandbox(container.folder, sandbox)
        self._renew_files(container, gone=endpoint)
        await self._publishing.change(container)
        self._networks.publish(network, "disconnect", container=container.id)

    def has(self, container: Container, network: Network) -> bool:
        """Tell whether a container that runs is in a network."""
        return container.sandbox is not None and network.name in container.sandbox.endpoints

    def _renew_files(
        self,
        container: Container,
        *,
        come: Endpoint | None = None,
        gone: Endpoint | None = None,
    ) -> None:
        renew_host_files(
            container.record,
            container.folder,
            container.sandbox,
            resolved=self._publishing.resolves(container),
            come=come,
            gone=gone,
        )

    async def _route(self, container: Container, sandbox: Sandbox, netns: int) -> None:
        """Have the default route go by the endpoint that is to have it now."""
        before = next((end for end in sandbox.endpoints.values() if end.default), None)
        choose_route(container, sandbox)
        now = next((end for end in sandbox.endpoints.values() if end.default), None)
        if now is not before or now is None:
            await self._ground.route(now, netns)


@contextlib.contextmanager
def _opened(pid: int) -> Iterator[int]:
    netns = opened_of(pid)
    try:
        yield netns
    finally:
        os.close(netns)


@contextlib.contextmanager
def _namespace(container: Container) -> Iterator[int]:
    """Open the network namespace of a container that runs; its lock is held by the caller."""
    try:
        with _opened(container.state.pid) as netns:
            yield netns
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Conflict(f"Container {container.id} is not running") from error


def opened_again(container: Container) -> tuple[int, int] | None:
    """Open the network namespace and a pidfd of a container that runs; None for any other."""
    pid = container.state.pid
    if not container.state.running or not pid:
        return None
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        return opened_of(pid), process
    except OSError:
        os.close(process)
        return None


def choose_route(container: Container, sandbox: Sandbox) -> None:
    """Say by which endpoint the default route goes: the highest priority, then the first name."""
    settings = container.record.networks
    able = [name for name, end in sandbox.endpoints.items() if end.gateway or end.gateway6]
    best = min(able, key=lambda name: (-_priority(settings, name), name), default=None)
    for name, end in sandbox.endpoints.items():
        end.default = name == best


def _priority(settings: dict[str, EndpointSettings], name: str) -> int:
    return settings[name].priority if name in settings else 0


def _free_interface(sandbox: Sandbox, prefix: str) -> str:
    taken = {end.interface for end in sandbox.endpoints.values()}
    number = 0
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


def names_of(container: Container, network: Network, settings: EndpointSettings) -> list[str]:
    """Return what a container is called in a network; nobody has names on the default bridge."""
    if network.predefined:
        return []
    record = container.record
    hostname = [record.config.hostname] if record.config.hostname else []
    return [*dict.fromkeys((record.name, *settings.aliases, record.short_id, *hostname))]
