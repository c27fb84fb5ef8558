"""Which range, gateway and reserved address belong to which subnet: `network create`'s flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from ..failures import Usage

Pools = dict[str, dict[str, Any]]


def pools(
    subnets: Sequence[str],
    ranges: Sequence[str],
    gateways: Sequence[str],
    reserved: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return `IPAM.Config`; raises `Usage` for what fits no subnet, or two, as Docker does."""
    found = {text: {"Subnet": text, "AuxiliaryAddresses": {}} for text in dict.fromkeys(subnets)}
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise Usage("every ip-range or gateway must have a corresponding subnet: add --subnet")
    _check_overlaps(list(found))
    for text in ranges:
        _put(found, "IPRange", text, "range", _network(text, "--ip-range").network_address)
    for text in gateways:
        _put(found, "Gateway", text, "gateway", _address(text, "--gateway"))
    for name, text in reserved.items():
        pool = _pool(found, text, "aux-address", _address(text, "--aux-address"))
        pool["AuxiliaryAddresses"][name] = text
    return [{name: value for name, value in pool.items() if value} for pool in found.values()]


def _put(found: Pools, key: str, text: str, what: str, address: Any) -> None:
    pool = _pool(found, text, what, address)
    if key in pool:
        raise Usage(
            f"cannot configure multiple {what}s ({text}, {pool[key]}) on the same subnet"
            f" ({pool['Subnet']}): leave one out"
        )
    pool[key] = text


def _pool(found: Pools, text: str, what: str, address: Any) -> dict[str, Any]:
    for subnet, pool in found.items():
        if address in _network(subnet, "--subnet"):
            return pool
    raise Usage(f"no matching subnet for {what} {text}: write one of {', '.join(found) or 'none'}")


def _check_overlaps(subnets: Sequence[str]) -> None:
    for at, text in enumerate(subnets):
        mine = _network(text, "--subnet")
        for other in subnets[:at]:
            if _overlap(mine, _network(other, "--subnet")):
                raise Usage(
                    "multiple overlapping subnet configuration is not supported:"
                    f" {other} and {text}"
                )


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _network(text: str, option: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise Usage(f"{option} {text!r}: write a network as 172.28.0.0/16") from error


def _address(text: str, option: str) -> Any:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Usage(f"{option} {text!r}: write an address as 172.28.0.1") from error
