"""What networks are made of on this machine: bridges, rules, and the subnets that are free.

Each of these blocks on the kernel or on a program, so it is done on threads of its own: others'
work, as the unpacking of layers, would have a container wait for its network.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ipycontainer_runtime.errors import ContainerError, NotFound
from ipycontainer_runtime.linux import netlink
from ipycontainer_runtime.linux.netlink import Subnet as Range
from ipycontainer_runtime.network import addresses, bridge
from ipycontainer_runtime.network.bridge import ALIAS, Bridge
from ipycontainer_runtime.network.driver import Driver
from ipycontainer_runtime.network.firewall import Bridge as Guarded
from ipycontainer_runtime.network.firewall import choose, sweep, table_of
from ipycontainer_runtime.network.host import Nothing
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Endpoint, Network, NetworkStore, Published, Subnet

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Ground:
    """Makes the devices of networks when a container first needs them, and takes them away."""

    def __init__(self, place: Place, root: Path, store: NetworkStore) -> None:
        self.place = place
        self._store = store
        self._root = str(root)
        self._bridge = Bridge(place, self._root)
        drivers: tuple[Driver, ...] = (self._bridge, Nothing("host"), Nothing("null"))
        self.drivers = {driver.name: driver for driver in drivers}
        self._firewall = choose(place, table_of(root))
        self._up: dict[str, Network] = {}
        self._changing = asyncio.Lock()
        self._devices = ThreadPoolExecutor(1, "devices")
        self._rules = ThreadPoolExecutor(1, "rules")

    async def _do(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._devices, work, *arguments)

    async def _rule(self, work: Callable[..., T], *arguments: object) -> T:
        """Do something to the rules, after all that was asked before; nft takes its time."""
        return await asyncio.get_running_loop().run_in_executor(self._rules, work, *arguments)

    def lacks(self) -> list[str]:
        """Return what containers cannot have here, each with its cure."""
        return [text for text in (self.place.lacks(), self._firewall.lacks()) if text]

    def is_up(self, network: Network) -> bool:
        """Tell whether a network has all that it needs on the machine."""
        return network.id in self._up or network.driver != "bridge"

    async def bring_up(self, network: Network) -> None:
        """Make a network's bridge and guard it. A subnet that was chosen may be chosen again.

        Raises NotFound for a network that was removed, also while it waited for its turn.
        """
        if self.is_up(network):
            return
        async with self._changing:
            if self.is_up(network):
                return
            self._check_kept(network)
            await self._do(self._settle_subnets, network)
            driver = self.drivers[network.driver]
            await self._do(driver.create, network)
            self._up[network.id] = network
            try:
                await self._guard()
                self._check_kept(network)
            except ContainerError:
                await self._take_down(network)
                raise

    def _check_kept(self, network: Network) -> None:
        if self._store.get(network.id) is None:
            raise NotFound(f"network {network.name} not found")

    async def take_down(self, networks: Iterable[Network]) -> None:
        """Remove the bridges of networks in which nobody is."""
        async with self._changing:
            gone = [network for network in networks if network.id in self._up]
            for network in gone:
                await self._take_down(network)
            if gone:
                await self._guard()

    async def _take_down(self, network: Network) -> None:
        self._up.pop(network.id, None)
        await self._do(self.drivers[network.driver].remove, network)

    async def _guard(self) -> None:
        """Put up the rules for the bridges that are there; none are left for none."""
        bridges = [guarded(network) for network in self._up.values()]
        if bridges:
            await self._rule(self._firewall.apply, bridges)
        else:
            await self._rule(self._firewall.close)

    def _settle_subnets(self, network: Network) -> None:
        """Choose other subnets where somebody took the chosen ones since."""
        if not network.chosen:
            return
        used = self._used(network)
        pools = [ipaddress.ip_network(subnet.subnet) for subnet in network.subnets]
        if not any(addresses.overlapping(pool, used) for pool in pools):
            return
        network.subnets = [chosen(pool.version, used) for pool in pools]
        self._store.save(network)

    async def used(self) -> list[Range]:
        """Return the subnets that a new network cannot have: other networks', the machine's."""
        return await self._do(self._used, None)

    def _used(self, but: Network | None) -> list[Range]:
        others = [network for network in self._store.all() if network is not but]
        devices = {network.device for network in self._store.all()}
        used: list[Range] = [
            ipaddress.ip_network(subnet.subnet) for other in others for subnet in other.subnets
        ]
        with netlink.opened() as socket:  # the machine's, wherever the bridges stand
            used += _routed(socket, devices)
        if self.place.alone and self.place.there:
            with self.place.netlink() as socket:
                used += _routed(socket, devices)
        return used

    async def attach(self, places: Sequence[tuple[Network, Endpoint]], netns: int) -> None:
        """Give a network namespace its interfaces. Raises Unavailable; nothing is left then."""
        await self._do(self._attach, places, netns)

    def _attach(self, places: Sequence[tuple[Network, Endpoint]], netns: int) -> None:
        done: list[tuple[Network, Endpoint]] = []
        try:
            for network, endpoint in places:
                self.drivers[network.driver].attach(network, endpoint, netns)
                done.append((network, endpoint))
        except BaseException:
            for network, endpoint in done:
                with contextlib.suppress(ContainerError):
                    self.drivers[network.driver].detach(network, endpoint)
            raise

    async def detach(self, network: Network, endpoint: Endpoint) -> None:
        """Take an interface out of a network namespace."""
        await self._do(self.drivers[network.driver].detach, network, endpoint)

    async def route(self, endpoint: Endpoint | None, netns: int) -> None:
        """Have a namespace's default route go by this endpoint, or have none."""
        await self._do(bridge.route, endpoint, netns)

    async def publish(self, ports: Sequence[Published]) -> None:
        """Lead ports of the machine into containers."""
        await self._rule(self._firewall.publish, ports)

    async def unpublish(self, ports: Sequence[Published]) -> None:
        """Take such ports back."""
        await self._rule(self._firewall.unpublish, ports)

    async def adopt(self, networks: Sequence[Network], ports: Sequence[Published]) -> None:
        """Take over the bridges in which containers run, and remove what nobody needs."""
        async with self._changing:
            for network in networks:
                await self._do(self.drivers[network.driver].create, network)
                self._up[network.id] = network
            if networks:
                await self._guard()
                await self._rule(self._firewall.publish, ports)
                await self._rule(self._firewall.keep, ports)
            if self.place.there:
                await self._do(self._sweep)

    def _sweep(self) -> None:
        """Remove bridges of ours that an engine left which was killed, and those of nobody."""
        kept = {network.device for network in self._up.values()}
        with self.place.netlink() as socket:
            links = socket.links()
            entered = {link.master for link in links}
            for link in links:
                root = link.alias.removeprefix(ALIAS)
                mine = link.alias == self._bridge.alias
                if link.kind != "bridge" or link.name in kept or (root == link.alias and not mine):
                    continue
                # A folder that is not seen from here may be there for an engine in a container that
                # shares the machine's network: a bridge with somebody in it is not nobody's.
                if not mine and (link.number in entered or os.path.isdir(root)):
                    continue
                _log.info("removing the bridge %s: %s", link.name, link.alias)
                socket.do(netlink.remove_link(link.name))
                if not mine:
                    choose(self.place, table_of(Path(root))).close()
                elif not self._up:
                    self._firewall.close()
        sweep(self.place)

    async def leave(self, needed: Iterable[str]) -> None:
        """Remove all but the networks with these ids; the engine ends."""
        keep = set(needed)
        empty = [network for network in self._up.values() if network.id not in keep]
        try:
            await self.take_down(empty)
            if not self._up and self.place.there:
                await self._do(self.place.end)
        except (ContainerError, OSError) as error:
            _log.warning("something of the networks is left behind: %s", error)
        self._devices.shutdown(wait=False)
        self._rules.shutdown(wait=False)
        self.place.close()


def _routed(socket: netlink.Netlink, but: set[str]) -> list[Range]:
    """Return the networks to which a namespace has routes, other than by these interfaces."""
    own = {link.number for link in socket.links() if link.name in but}
    return [
        route.network
        for route in socket.routes()
        if route.link not in own and route.network.prefixlen
    ]


def chosen(version: int, used: list[Range]) -> Subnet:
    """Return a subnet that is free, of IPv4 (4) or IPv6 (6)."""
    pool = addresses.free_pool(used) if version == 4 else addresses.free_pool6(used)
    return addresses.completed(Subnet(subnet=str(pool), gateway=""))


def guarded(network: Network) -> Guarded:
    """Return a network as the firewall is told of it."""
    return Guarded(
        device=network.device,
        subnets=tuple(subnet.subnet for subnet in network.subnets),
        internal=network.internal,
        masquerade=bridge.flag(network, bridge.MASQUERADE, default=True),
        talking=bridge.flag(network, bridge.ICC, default=True),
    )
