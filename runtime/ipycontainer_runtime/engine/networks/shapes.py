"""Networks and endpoints in the shapes of the Engine API."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.networks import ports
from ipycontainer_runtime.store.networks import Endpoint, EndpointSettings, Network, Subnet
from ipycontainer_runtime.store.records import NEVER

_NOWHERE = Endpoint(id="", network="", interface="", device="", mac="")


def network_shape(network: Network, inside: Iterable[Container]) -> dict[str, Any]:
    """Return a network; `inside` are the containers that have an endpoint in it."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None if network.predefined else network.ipam_options,
            "Config": [_range(subnet) for subnet in network.subnets],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            container.id: _member(container, endpoint)
            for container in inside
            if container.sandbox is not None
            for endpoint in container.sandbox.endpoints.values()
            if endpoint.network == network.id
        },
        "Options": {**network.options, **_name(network)},
        "Labels": network.labels,
    }


def _name(network: Network) -> dict[str, str]:
    """Return the option that names the bridge, as Docker does for its default one alone."""
    return {"com.docker.network.bridge.name": network.device} if network.name == "bridge" else {}


def _range(subnet: Subnet) -> dict[str, Any]:
    shape: dict[str, Any] = {"Subnet": subnet.subnet}
    if subnet.ip_range:
        shape["IPRange"] = subnet.ip_range
    shape["Gateway"] = subnet.gateway
    if subnet.reserved:
        shape["AuxiliaryAddresses"] = subnet.reserved
    return shape


def _member(container: Container, endpoint: Endpoint) -> dict[str, str]:
    return {
        "Name": container.record.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": endpoint.ipv4,
        "IPv6Address": endpoint.ipv6,
    }


def endpoints_shape(container: Container) -> dict[str, Any]:
    """Return `NetworkSettings.Networks`: every network of a container, by its name."""
    sandbox = container.sandbox
    ends = sandbox.endpoints if sandbox else {}
    return {
        name: _endpoint(settings, ends.get(name), started=container.state.started_at != NEVER)
        for name, settings in container.record.networks.items()
    }


def _endpoint(settings: EndpointSettings, end: Endpoint | None, *, started: bool) -> dict[str, Any]:
    here = end or _NOWHERE
    address, length = _split(here.ipv4)
    address6, length6 = _split(here.ipv6)
    names = list(here.names)
    return {
        "IPAMConfig": _ipam(settings),
        "Links": settings.links or None,
        "Aliases": settings.aliases or None,
        "MacAddress": here.mac or settings.mac,
        "DriverOpts": settings.options or None,
        "GwPriority": settings.priority,
        "NetworkID": settings.network if end or started else "",
        "EndpointID": here.id,
        "Gateway": here.gateway,
        "IPAddress": address,
        "IPPrefixLen": length,
        "IPv6Gateway": here.gateway6,
        "GlobalIPv6Address": address6,
        "GlobalIPv6PrefixLen": length6,
        "DNSNames": names or None,
    }


def _ipam(settings: EndpointSettings) -> dict[str, Any] | None:
    asked = {"IPv4Address": settings.ipv4, "IPv6Address": settings.ipv6}
    given = {name: text for name, text in asked.items() if text}
    return given or ({} if settings.late else None)


def _split(interface: str) -> tuple[str, int]:
    if not interface:
        return "", 0
    whole = ipaddress.ip_interface(interface)
    return str(whole.ip), whole.network.prefixlen


def settings_shape(container: Container) -> dict[str, Any]:
    """Return `NetworkSettings` of an inspection."""
    sandbox = container.sandbox
    ends = sandbox.endpoints if sandbox else {}
    here = ends.get("bridge", _NOWHERE)
    address, length = _split(here.ipv4)
    address6, length6 = _split(here.ipv6)
    running = sandbox is not None and container.state.running
    return {
        "Bridge": "",
        "SandboxID": sandbox.id if sandbox else "",
        "SandboxKey": f"/proc/{container.state.pid}/ns/net" if running else "",
        "Ports": ports.by_port(container.record.config, sandbox.published)
        if sandbox and ends
        else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": here.id,
        "Gateway": here.gateway,
        "GlobalIPv6Address": address6,
        "GlobalIPv6PrefixLen": length6,
        "IPAddress": address,
        "IPPrefixLen": length,
        "IPv6Gateway": here.gateway6,
        "MacAddress": here.mac,
        "Networks": endpoints_shape(container),
    }
