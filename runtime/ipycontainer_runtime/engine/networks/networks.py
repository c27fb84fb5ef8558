"""Which networks there are: made, found, listed and removed."""

import ipaddress
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from ipycontainer_runtime.engine.activity import Background
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.networks import asked
from ipycontainer_runtime.engine.networks.ground import Ground
from ipycontainer_runtime.engine.networks.selecting import select
from ipycontainer_runtime.engine.networks.shapes import network_shape
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import (
    Conflict,
    ContainerError,
    Forbidden,
    InvalidParameter,
    NotFound,
)
from ipycontainer_runtime.linux import netlink
from ipycontainer_runtime.network import addresses
from ipycontainer_runtime.store.networks import PREDEFINED, Network, NetworkStore, Subnet

_log = logging.getLogger(__name__)

_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}
_PREFIX = "com.docker.network."
_MTU = 1500


class Networks:
    """The networks of this engine, by the names that people give them."""

    def __init__(
        self,
        *,
        store: NetworkStore,
        ground: Ground,
        events: Events,
        containers: Callable[[], Iterable[Container]],
        foresee: Callable[[Network], Awaitable[None]],
        background: Background,
    ) -> None:
        """Keep networks; `foresee` makes ready what the first container of a new one needs."""
        self._store = store
        self._ground = ground
        self._events = events
        self._containers = containers
        self._foresee = foresee
        self._background = background
        for name in PREDEFINED:
            if not any(network.name == name for network in store.all()):
                store.save(_predefined(name, ground.place.mtu or _MTU))

    def all(self) -> list[Network]:
        """Return every network, the oldest first."""
        return self._store.all()

    def get(self, reference: str) -> Network:
        """Return the network with this id, name or id's beginning; NotFound, or InvalidParameter.

        A name comes before the beginning of an id, as with Docker.
        """
        if network := self.find(reference):
            return network
        fits = [n for n in self.all() if n.id.startswith(reference)] if reference else []
        if len(fits) > 1:
            raise InvalidParameter(f"network {reference} is ambiguous ({len(fits)} matches found)")
        if not fits:
            raise NotFound(f"network {reference} not found")
        return fits[0]

    def lacks(self) -> "list[str]":
        """Return what containers in networks cannot have on this machine, each with its cure."""
        return self._ground.lacks()

    def find(self, reference: str) -> Network | None:
        """Return the network with this whole id or this name; None where there is none."""
        if network := self._store.get(reference):
            return network
        return next((network for network in self.all() if network.name == reference), None)

    async def create(self, body: asked.NetworkBody) -> str:
        """Make a network and return its id. Raises Conflict, Forbidden, InvalidParameter."""
        asked.check_kind(body, self._ground.drivers)
        self._claim(body.name)
        driver = body.driver if body.driver not in ("", "default") else "bridge"
        network = Network(
            id=secrets.token_hex(32),
            name=body.name,
            driver=driver,
            created=rfc3339(time.time_ns()),
            internal=body.internal,
            attachable=body.attachable,
            ipv6=body.enable_ipv6,
            options=body.options,
            ipam_options=body.ipam.options,
            labels=body.labels,
        )
        self._ground.drivers[driver].check(network)
        self._claim_device(network)
        used = await self._ground.used()
        self._claim(body.name)  # somebody may have been faster, also in having a subnet chosen
        used += self._pools()
        network.subnets, network.chosen = asked.subnets(body, used)
        self._check_overlap(network.subnets)
        self._store.save(network)
        self.publish(network, "create")
        self._background(self._make_ready(network), f"make the network {network.name} ready")
        return network.id

    async def _make_ready(self, network: Network) -> None:
        """Make a new network's devices while its first container is on its way."""
        try:
            await self._foresee(network)
        except ContainerError as error:  # it is gone again, or whoever enters it is told
            _log.info("the network %s is not ready yet: %s", network.name, error)

    def _claim(self, name: str) -> None:
        if name in PREDEFINED or name == "default":
            raise Forbidden(f"operation is not permitted on predefined {name} network")
        if any(network.name == name for network in self.all()):
            raise Conflict(f"network with name {name} already exists")

    def _claim_device(self, network: Network) -> None:
        for other in self.all():
            if other.device == network.device:
                raise Conflict(
                    f"the bridge {network.device} is that of the network {other.name}: "
                    "give the new one another name"
                )

    def _check_overlap(self, subnets: Sequence[Subnet]) -> None:
        pools = self._pools()
        for subnet in subnets:
            if addresses.overlapping(ipaddress.ip_network(subnet.subnet), pools):
                raise Forbidden(addresses.OVERLAPS)

    def _pools(self) -> "list[netlink.Subnet]":
        return [
            ipaddress.ip_network(subnet.subnet)
            for network in self.all()
            for subnet in network.subnets
        ]

    async def remove(self, reference: str) -> None:
        """Remove a network. Raises Forbidden for one that is predefined, or in use."""
        network = self.get(reference)
        if network.predefined:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if self.inside(network):
            raise Forbidden(
                f"error while removing network: network {network.name} id {network.id} has active "
                "endpoints"
            )
        self._store.remove(network)  # nobody can enter it from now on
        await self._ground.take_down([network])
        self.publish(network, "destroy")

    def inside(self, network: Network) -> list[Container]:
        """Return the containers that have an endpoint in a network now."""
        return [
            container
            for container in self._containers()
            if container.sandbox is not None
            and any(end.network == network.id for end in container.sandbox.endpoints.values())
        ]

    def used(self, network: Network) -> bool:
        """Tell whether a container is in a network, or will be once it is started."""
        return any(
            settings.network == network.id
            for container in self._containers()
            for settings in container.record.networks.values()
        )

    def list(self, filters: Mapping[str, Sequence[str]]) -> "list[dict[str, Any]]":
        """Return GET /networks."""
        chosen = select(self.all(), filters, used=self.used)
        return [network_shape(network, ()) for network in chosen]

    def inspect(self, reference: str, *, verbose: bool = False, scope: str = "") -> dict[str, Any]:
        """Return GET /networks/{id}; `verbose` adds what services of a swarm it has: none."""
        network = self.get(reference)
        if scope not in ("", "local"):
            raise NotFound(f"network {reference} not found")
        shape = network_shape(network, self.inside(network))
        return {**shape, "Services": {}} if verbose and network.driver == "overlay" else shape

    def publish(self, network: Network, action: str, **attributes: str) -> None:
        """Tell subscribers what happened to a network."""
        told = {"name": network.name, "type": network.driver, **attributes}
        self._events.publish("network", action, network.id, told)


def _predefined(name: str, mtu: int) -> Network:
    options = {}
    if name == "bridge":
        options = {
            f"{_PREFIX}bridge.default_bridge": "true",
            f"{_PREFIX}bridge.enable_icc": "true",
            f"{_PREFIX}bridge.enable_ip_masquerade": "true",
            f"{_PREFIX}bridge.host_binding_ipv4": "0.0.0.0",  # noqa: S104 - Docker's default
            f"{_PREFIX}driver.mtu": str(mtu),
        }
    pool = addresses.completed(Subnet(subnet=addresses.POOLS[0], gateway=""))
    return Network(
        id=secrets.token_hex(32),
        name=name,
        driver=_DRIVERS[name],
        created=rfc3339(time.time_ns()),
        subnets=[pool] if name == "bridge" else [],
        chosen=name == "bridge",
        options=options,
    )
