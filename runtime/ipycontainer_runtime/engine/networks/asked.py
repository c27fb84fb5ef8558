"""What clients ask of networks, read and checked: a network, and a container's place in one."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ipycontainer_runtime.errors import InvalidParameter, NotFound, NotImplementedHere
from ipycontainer_runtime.linux.netlink import Subnet as Range
from ipycontainer_runtime.network import addresses
from ipycontainer_runtime.store.networks import EndpointSettings, Network, Subnet
from ipycontainer_runtime.store.records import Config, HostConfig

_LONGEST = 255
_NAME = re.compile(rf"[a-zA-Z0-9][a-zA-Z0-9_.-]{{0,{_LONGEST - 1}}}")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_ALIAS = re.compile(r"[^\s/\x00-\x1f]{1,255}")

IP_OF_USERS = "user specified IP address is supported on user defined networks only"
IP_OF_SUBNETS = (
    "user specified IP address is supported only when connecting to networks with user "
    "configured subnets"
)
ALIAS_OF_USERS = "network-scoped alias is supported only for containers in user defined networks"


class IpamRange(msgspec.Struct, kw_only=True, rename="pascal"):
    """One subnet in a request."""

    subnet: str = ""
    ip_range: str = msgspec.field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = {}


class Ipam(msgspec.Struct, kw_only=True, rename="pascal"):
    """Where a network's addresses come from."""

    driver: str = ""
    options: dict[str, str] = {}
    config: list[IpamRange] = []


class NetworkBody(msgspec.Struct, kw_only=True, rename="pascal"):
    """The body of POST /networks/create."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool = msgspec.field(default=True, name="EnableIPv4")
    enable_ipv6: bool = msgspec.field(default=False, name="EnableIPv6")
    ipam: Ipam = msgspec.field(default_factory=Ipam, name="IPAM")
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: dict[str, Any] = {}
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class EndpointIpam(msgspec.Struct, kw_only=True):
    """The addresses that an endpoint must have."""

    IPv4Address: str = ""
    IPv6Address: str = ""
    LinkLocalIPs: list[str] = []


class EndpointBody(msgspec.Struct, kw_only=True, rename="pascal"):
    """One entry of `EndpointsConfig`; what inspect gives back of a run is not read."""

    ipam_config: EndpointIpam | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0


class NetworkingConfig(msgspec.Struct, kw_only=True, rename="pascal"):
    """`NetworkingConfig` of a container's creation."""

    endpoints_config: dict[str, EndpointBody | None] | None = None


class ConnectBody(msgspec.Struct, kw_only=True, rename="pascal"):
    """The body of POST /networks/{id}/connect and disconnect."""

    container: str = ""
    endpoint_config: EndpointBody | None = None
    force: bool = False


def check_kind(body: NetworkBody, drivers: Mapping[str, object]) -> None:
    """Refuse the kinds of network that there are not. Raises NotFound, NotImplementedHere."""
    if not body.name.strip():
        raise InvalidParameter(f"invalid name: {body.name}")
    if not _NAME.fullmatch(body.name):
        raise InvalidParameter(
            f"invalid network name ({body.name[:300]}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            + (f", {_LONGEST} of them at most" if len(body.name) > _LONGEST else "")
        )
    if body.ingress or body.scope in ("swarm", "global") or body.driver == "overlay":
        raise NotImplementedHere(
            "networks of a swarm are not supported, as this engine is in none: leave out "
            "--scope, --ingress and --driver overlay"
        )
    if body.config_only or (body.config_from or {}).get("Network"):
        raise NotImplementedHere(
            "ConfigOnly and ConfigFrom are not supported: give the network its options itself"
        )
    if not body.enable_ipv4:
        raise NotImplementedHere("EnableIPv4=false is not supported: leave it out")
    for driver in (body.driver, body.ipam.driver):
        if driver not in ("", "default", *drivers):
            raise NotFound(f'plugin "{driver}" not found')


def subnets(body: NetworkBody, used: list[Range]) -> tuple[list[Subnet], bool]:
    """Return a new network's subnets, and whether they were chosen for it.

    `used` are those of other networks and of the machine. Raises InvalidParameter, Forbidden.
    """
    asked = [_subnet(item) for item in body.ipam.config if msgspec.structs.astuple(item) != _EMPTY]
    versions = [ipaddress.ip_network(item.subnet).version for item in asked]
    if versions.count(4) > 1 or versions.count(6) > 1:
        raise InvalidParameter("bridge driver doesn't support multiple subnets")
    if 6 in versions and not body.enable_ipv6:
        raise InvalidParameter(
            "the network has a subnet of IPv6 and no IPv6: give it --ipv6 as well"
        )
    whole = [*asked]
    if 4 not in versions:
        pool = str(addresses.free_pool(used))
        whole.insert(0, addresses.completed(Subnet(subnet=pool, gateway="")))
    if body.enable_ipv6 and 6 not in versions:
        pool = str(addresses.free_pool6(used))
        whole.append(addresses.completed(Subnet(subnet=pool, gateway="")))
    return whole, not asked


_EMPTY = msgspec.structs.astuple(IpamRange())


def _subnet(item: IpamRange) -> Subnet:
    if not item.subnet:
        raise InvalidParameter("every ip-range or gateway must have a corresponding subnet")
    return addresses.completed(
        Subnet(
            subnet=item.subnet,
            gateway=item.gateway,
            ip_range=item.ip_range,
            reserved=item.auxiliary_addresses,
        )
    )


def endpoint(body: EndpointBody | None, network: Network) -> EndpointSettings:
    """Return what a client asks of a container's place in a network. Raises InvalidParameter."""
    body = body or EndpointBody()
    ipam = body.ipam_config or EndpointIpam()
    settings = EndpointSettings(
        network=network.id,
        ipv4=_address(ipam.IPv4Address, 4),
        ipv6=_address(ipam.IPv6Address, 6),
        link_local=ipam.LinkLocalIPs,
        mac=checked_mac(body.mac_address),
        aliases=[*dict.fromkeys(_alias(alias) for alias in body.aliases or ())],
        links=body.links or [],
        options=body.driver_opts or {},
        priority=body.gw_priority,
    )
    if settings.link_local:
        raise NotImplementedHere("LinkLocalIPs are not supported: leave them out")
    if settings.options:
        names = ", ".join(sorted(settings.options))
        raise NotImplementedHere(f"DriverOpts of endpoints ({names}) are not supported")
    if network.predefined:
        if settings.ipv4 or settings.ipv6:
            raise InvalidParameter(IP_OF_USERS)
        if settings.aliases:
            raise InvalidParameter(ALIAS_OF_USERS)
    elif network.chosen and (settings.ipv4 or settings.ipv6):
        raise InvalidParameter(IP_OF_SUBNETS)
    _check_inside(settings, network)
    return settings


def _check_inside(settings: EndpointSettings, network: Network) -> None:
    pools = [ipaddress.ip_network(subnet.subnet) for subnet in network.subnets]
    for text in (settings.ipv4, settings.ipv6):
        if text and not any(ipaddress.ip_address(text) in pool for pool in pools):
            raise InvalidParameter(
                f"Invalid address {text}: It does not belong to any of this network's subnets"
            )


def checked_mac(text: str) -> str:
    """Return a MAC address as the kernel writes it; InvalidParameter for anything else."""
    if not text:
        return ""
    if not _MAC.fullmatch(text):
        raise InvalidParameter(f"{text[:60]} is not a valid mac address")
    if int(text[:2], 16) & 1:
        raise InvalidParameter(f"{text} is a multicast address, which no interface can have")
    return text.lower().replace("-", ":")


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text):
        raise InvalidParameter(f"invalid network alias {text[:60]!r}: a host's name is wanted")
    return text


def _address(text: str, version: int) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidParameter(f"invalid IPv{version} address: {text}") from error
    if address.version != version:
        raise InvalidParameter(f"invalid IPv{version} address: {text}")
    return str(address)


_SHARED = "This would result in undefined behavior"


def check_conflicts(config: Config, host: HostConfig) -> None:
    """Refuse what a container that has no network of its own cannot have, in Docker's words."""
    mode = host.network_mode
    joins = mode.startswith("container:")
    if joins and not mode.removeprefix("container:"):
        raise InvalidParameter("Invalid network mode: invalid container format container:<name|id>")
    if host.links and (joins or mode == "host"):
        kind = "container" if joins else "host"
        verb = "type network can't" if joins else "type networking can't"
        raise InvalidParameter(f"conflicting options: {kind} {verb} be used with links. {_SHARED}")
    if not joins:
        return
    conflicts = {
        "hostname and the network mode": config.hostname,
        "mac-address and the network mode": config.mac_address,
        "dns and the network mode": host.dns,
        "custom host-to-IP mapping and the network mode": host.extra_hosts,
        "port publishing and the container type network mode": host.port_bindings
        or host.publish_all_ports,
        "port exposing and the container type network mode": config.exposed_ports,
    }
    for words, asked in conflicts.items():
        if asked:
            raise InvalidParameter(f"conflicting options: {words}")
