"""Published ports as clients ask for them, and as they are shown."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.network.helper.presence import Wanted
from ipycontainer_runtime.store.networks import Published
from ipycontainer_runtime.store.records import Config, HostConfig

_LAST = 65535
_PROTOCOLS = ("tcp", "udp", "sctp")


def asked(config: Config, host: HostConfig) -> list[Wanted]:
    """Return which ports are to be published; with `PublishAllPorts` those that are exposed too.

    Raises InvalidParameter for what is no port.
    """
    wanted = []
    bound = host.port_bindings or {}
    for text, bindings in bound.items():
        protocol, port = parsed(text)
        if bindings is not None and not isinstance(bindings, list):
            raise InvalidParameter(f"invalid PortBindings of {text!r}: a list is wanted")
        for binding in bindings or [{}]:
            wanted.append(_binding(protocol, port, binding or {}))
    if host.publish_all_ports:
        for protocol, port in exposed(config):
            if not bound.get(f"{port}/{protocol}"):
                wanted.append(Wanted(protocol, port, "", 0, 0))
    return list(dict.fromkeys(wanted))


def exposed(config: Config) -> Iterator[tuple[str, int]]:
    """Yield the ports that an image, or whoever made the container, says it listens on."""
    for text in config.exposed_ports or {}:
        first, _, last = text.partition("/")[0].partition("-")
        protocol, low = parsed(f"{first}/{text.partition('/')[2] or 'tcp'}")
        high = parsed(last)[1] if last else low
        for port in range(low, high + 1):
            yield protocol, port


def parsed(text: str) -> tuple[str, int]:
    """Return protocol and number of `80/tcp`."""
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidParameter(f"invalid proto: {protocol}")
    return protocol, _number(number, text)


def _binding(protocol: str, port: int, binding: dict[str, Any]) -> Wanted:
    if protocol == "sctp":
        raise NotImplementedHere(f"publishing {port}/sctp is not supported: use tcp or udp")
    address = str(binding.get("HostIp") or "")
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise InvalidParameter(f"invalid IP address: {address}") from error
    text = str(binding.get("HostPort") or "")
    first, dash, last = text.partition("-")
    low = _number(first, text) if text else 0
    high = _number(last, text) if dash else low
    if high < low:
        raise InvalidParameter(f"invalid port range: {text}")
    return Wanted(protocol, port, address, low, high)


def _number(text: str, whole: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _LAST:
        raise InvalidParameter(f"invalid port specification: {whole[:60]!r}")
    return int(text)


def by_port(config: Config, published: Sequence[Published]) -> dict[str, Any]:
    """Return `NetworkSettings.Ports` of a container that runs."""
    shown: dict[str, Any] = {f"{port}/{protocol}": None for protocol, port in exposed(config)}
    for entry in published:
        bindings = shown.get(f"{entry.port}/{entry.protocol}") or []
        binding = {"HostIp": entry.host_address, "HostPort": str(entry.host_port)}
        shown[f"{entry.port}/{entry.protocol}"] = [*bindings, binding]
    return shown


def in_list(config: Config, published: Sequence[Published]) -> list[dict[str, Any]]:
    """Return `Ports` of an entry of the list of containers."""
    lines: list[dict[str, Any]] = [
        {
            "IP": entry.host_address,
            "PrivatePort": entry.port,
            "PublicPort": entry.host_port,
            "Type": entry.protocol,
        }
        for entry in published
    ]
    bound = {(entry.protocol, entry.port) for entry in published}
    for protocol, port in exposed(config):
        if (protocol, port) not in bound:
            lines.append({"PrivatePort": port, "Type": protocol})
    return lines
