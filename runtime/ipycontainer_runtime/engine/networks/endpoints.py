"""A container's place in a network: its addresses, its names, and which of several has the route.

All of it is arithmetic, and nothing of it touches the machine.
"""

import secrets

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.network.addresses import Addresses, mac_of
from ipycontainer_runtime.network.bridge import INTERFACE, device_name
from ipycontainer_runtime.store.networks import Endpoint, EndpointSettings, Network, Sandbox


class Endpoints:
    """Gives places out and takes them back; `hold` is for those of an earlier engine."""

    def __init__(self) -> None:
        self._addresses: dict[str, list[Addresses]] = {}
        """Of each network with somebody in it, by its id."""

    def give(
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
            self.take_back_one(endpoint)
            raise
        endpoint.mac = endpoint.mac or mac_of(endpoint.ipv4.partition("/")[0])
        return endpoint

    def _pools(self, network: Network) -> list[Addresses]:
        pools = self._addresses.get(network.id)
        if pools is None:
            pools = [Addresses(subnet) for subnet in network.subnets]
            self._addresses[network.id] = pools
        return pools

    def hold(self, network: Network, endpoint: Endpoint) -> None:
        """Note the addresses of a run that an earlier engine began."""
        for pool in self._pools(network):
            for address in (endpoint.ipv4, endpoint.ipv6):
                if address and pool.has(address):
                    pool.hold(address)

    def take_back(self, sandbox: Sandbox) -> None:
        """Take back all places of a run."""
        for endpoint in sandbox.endpoints.values():
            self.take_back_one(endpoint)

    def take_back_one(self, endpoint: Endpoint) -> None:
        """Take one place back; one that was given in part, or not at all, too."""
        pools = self._addresses.get(endpoint.network, [])
        for pool in pools:
            for address in (endpoint.ipv4, endpoint.ipv6):
                if address and pool.has(address):
                    pool.release(address)
        if pools and not any(pool.taken for pool in pools):
            del self._addresses[endpoint.network]  # with no one in it subnets may change


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
