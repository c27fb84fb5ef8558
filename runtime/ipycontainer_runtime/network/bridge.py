"""The driver `bridge`: a switch on the machine, with a cable to each container.

The bridge has the gateway's address, so that containers reach the machine and, by it, what lies
beyond. A container's end of the cable (veth(4)) is made in its network namespace at once; it goes,
and the other end with it, when the namespace ends.
"""

import contextlib
import hashlib
import ipaddress
import os
import re
import secrets
from pathlib import Path

from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotImplementedHere, Unavailable
from ipycontainer_runtime.linux import netlink
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.linux.netlink import Netlink
from ipycontainer_runtime.linux.netns import netlink_in
from ipycontainer_runtime.network.addresses import random_mac
from ipycontainer_runtime.network.firewall.bridges import check_name
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Endpoint, Network

ALIAS = "ipycontainer:"
"""What the alias of a bridge begins with; the data root of its engine follows."""

_LONG = "ipycontainer-root-of-hash:"

_LONGEST_ALIAS = 255  # IFALIASZ less one, linux/if.h
_SMALLEST_MTU = {False: 68, True: 1280}  # of IPv4 alone, and with IPv6 (RFC 791, RFC 8200)
_LARGEST_MTU = 65535  # of a bridge (ETH_MAX_MTU)

_PREFIX = "com.docker.network."
MTU = f"{_PREFIX}driver.mtu"
NAME = f"{_PREFIX}bridge.name"
ICC = f"{_PREFIX}bridge.enable_icc"
MASQUERADE = f"{_PREFIX}bridge.enable_ip_masquerade"
BINDING = f"{_PREFIX}bridge.host_binding_ipv4"
INTERFACE = f"{_PREFIX}container_iface_prefix"
_OPTIONS = frozenset((NAME, ICC, MASQUERADE, BINDING, f"{_PREFIX}bridge.default_bridge"))
_INTERFACE = re.compile(r"[a-z]{1,12}")  # with a number of up to three digits it is a name
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class Bridge:
    """Makes bridges in one place, for the engine of one data root."""

    name = "bridge"

    def __init__(self, place: Place, root: str) -> None:
        """Stand in `place`; `root` is the data root, by which later engines know what is whose."""
        self._place = place
        alias = f"{ALIAS}{root}"
        if len(os.fsencode(alias)) > _LONGEST_ALIAS:
            # A path that others cannot read is none that they may take for gone.
            alias = f"{_LONG}{hashlib.sha256(os.fsencode(root)).hexdigest()}"
        self.alias = alias
        """That of every bridge that this one makes, and of no other's."""

    def check(self, network: Network) -> None:
        """Refuse options whose values mean nothing."""
        mtu(network)
        for option in (ICC, MASQUERADE):
            flag(network, option, default=True)
        check_name(network.device)
        for option in network.options:
            if option.startswith(f"{_PREFIX}bridge.") and option not in _OPTIONS:
                raise NotImplementedHere(f"the option {option} is not supported: leave it out")
        if not _INTERFACE.fullmatch(network.options.get(INTERFACE, "eth")):
            raise InvalidParameter(
                f"invalid {INTERFACE} {network.options[INTERFACE][:60]!r}: at most 12 letters"
            )
        address = network.options.get(BINDING, "0.0.0.0")  # noqa: S104 - Docker's default
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(address)
            return
        raise InvalidParameter(f"failed to parse {BINDING} value: {address}: no IP address")

    def create(self, network: Network) -> None:
        """Make the bridge, with the gateway's addresses, unless it is there.

        Raises Conflict where the machine has another interface of its name.
        """
        with self._place.netlink() as socket:
            there = socket.link(network.device)
            if there is not None and not self._is_ours(there):
                raise Conflict(
                    f"cannot make the bridge of the network {network.name}: there is an interface "
                    f"{network.device} that is not its own; give the network another {NAME}"
                )
            try:
                self._create(socket, network)
            except OSError as error:
                self._remove(socket, network)
                raise _refused(
                    f"cannot make the bridge of the network {network.name}", error
                ) from (error)

    def _create(self, socket: Netlink, network: Network) -> None:
        device = network.device
        socket.do(
            netlink.add_bridge(device, random_mac(), mtu(network) or self._place.mtu),
            netlink.set_alias(device, self.alias),
            *(() if network.ipv6 else (netlink.without_link_local(device),)),
        )
        index = socket.index(device)
        within(self._place.netns, lambda: _settle_ipv6(device, wanted=network.ipv6))
        socket.do(
            *(netlink.add_address(index, address) for address in gateways(network)),
            netlink.set_up(device),
        )

    def remove(self, network: Network) -> None:
        """Remove the bridge, if it is there and ours."""
        with self._place.netlink() as socket:
            self._remove(socket, network)

    def _is_ours(self, link: netlink.Link) -> bool:
        return link.kind == "bridge" and link.alias == self.alias

    def _remove(self, socket: Netlink, network: Network) -> None:
        there = socket.link(network.device)
        if there is None or not self._is_ours(there):
            return
        try:
            socket.do(netlink.remove_link(network.device))
        except OSError as error:
            raise _refused(f"cannot remove the bridge {network.device}", error) from error

    def attach(self, network: Network, endpoint: Endpoint, netns: int) -> None:
        """Lay a cable into a network namespace; `Driver.attach`."""
        with self._place.netlink() as socket:
            try:
                self._attach(socket, network, endpoint, netns)
            except OSError as error:
                with contextlib.suppress(OSError):
                    socket.do(netlink.remove_link(endpoint.device))
                raise _refused(
                    f"failed to set up container networking on {network.name}", error
                ) from error

    def _attach(self, socket: Netlink, network: Network, endpoint: Endpoint, netns: int) -> None:
        size = mtu(network) or self._place.mtu
        talking = flag(network, ICC, default=True)
        try:
            master = socket.index(network.device)
        except OSError:  # somebody has removed it since
            self._create(socket, network)
            master = socket.index(network.device)
        socket.do(
            netlink.add_veth(
                endpoint.device,
                master=master,
                peer=endpoint.interface,
                netns=netns,
                mac=endpoint.mac,
                mtu=size,
            ),
            netlink.without_link_local(endpoint.device),
            *(() if talking else (netlink.isolate(endpoint.device),)),
            netlink.set_up(endpoint.device),
        )
        with netlink_in(netns) as inside:
            configure(inside, endpoint)

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        """Take the cable away; the end in the container goes with it."""
        with self._place.netlink() as socket:
            try:
                socket.do(netlink.remove_link(endpoint.device))
            except OSError as error:
                raise _refused(f"cannot remove the interface {endpoint.device}", error) from error


def configure(inside: Netlink, endpoint: Endpoint) -> None:
    """Give an interface, by a socket in its namespace, its addresses and routes."""
    name = endpoint.interface
    index = inside.index(name)
    inside.do(
        *(() if endpoint.ipv6 else (netlink.without_link_local(name),)),
        *(
            netlink.add_address(index, ipaddress.ip_interface(address))
            for address in (endpoint.ipv4, endpoint.ipv6)
            if address
        ),
        netlink.announced(name),
        netlink.set_up(name),
        netlink.set_up("lo"),  # which nobody else does where a namespace is given by its path
        *(default_routes(index, endpoint) if endpoint.default else ()),
    )


def route(endpoint: Endpoint | None, netns: int) -> None:
    """Have a namespace's default route go by this endpoint, or by none."""
    with netlink_in(netns) as inside:
        inside.do(netlink.remove_default_route(4), netlink.remove_default_route(6))
        if endpoint is not None:
            inside.do(*default_routes(inside.index(endpoint.interface), endpoint))


def default_routes(index: int, endpoint: Endpoint) -> list[netlink.Message]:
    """Return the requests by which what is for nobody near by goes by this endpoint."""
    return [
        netlink.add_default_route(index, ipaddress.ip_address(gateway))
        for gateway in (endpoint.gateway, endpoint.gateway6)
        if gateway
    ]


def gateways(network: Network) -> list[netlink.Interface]:
    """Return the addresses of a network's bridge."""
    return [
        ipaddress.ip_interface(f"{subnet.gateway}/{ipaddress.ip_network(subnet.subnet).prefixlen}")
        for subnet in network.subnets
    ]


def device_name() -> str:
    """Return a name for the machine's end of a cable."""
    return f"veth{secrets.token_hex(4)}"


def mtu(network: Network) -> int:
    """Return the largest packet that a network was made for; 0 for the kernel's default."""
    text = network.options.get(MTU, "0")
    smallest = _SMALLEST_MTU[network.ipv6]
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if number and not smallest <= number <= _LARGEST_MTU:
        raise InvalidParameter(
            f"failed to parse {MTU} value: {text[:60]}: a number of {smallest} to {_LARGEST_MTU} "
            "is wanted"
        )
    return number


def flag(network: Network, option: str, *, default: bool) -> bool:
    """Return an option that is true or false."""
    text = network.options.get(option)
    if text is None:
        return default
    if text not in _TRUE | _FALSE:
        raise InvalidParameter(f"failed to parse {option} value: {text}: true or false is wanted")
    return text in _TRUE


def _settle_ipv6(device: str, *, wanted: bool) -> None:
    """Have a bridge take no router's word, and have IPv6 where the machine has it off.

    A container's root could name himself the machine's router (CVE-2020-13401), also in a network
    without IPv6. Where settings cannot be written, the firewall drops it.
    """
    conf = f"/proc/sys/net/ipv6/conf/{device}"
    with contextlib.suppress(OSError):
        _switch_off(f"{conf}/accept_ra")
    if wanted:
        _switch_off(f"{conf}/disable_ipv6")


def _switch_off(path: str) -> None:
    """Write 0, where it is not there: at a file's beginning, as the kernel ignores it elsewhere."""
    with contextlib.suppress(FileNotFoundError):
        setting = Path(path)
        if setting.read_text().strip() != "0":
            setting.write_text("0")


def _refused(doing: str, error: OSError) -> Unavailable:
    return Unavailable(f"{doing}: {error.strerror or error}")
