"""Addresses and routes: what the kernel is asked for, and what it tells of them."""

import ipaddress
import socket
import struct
from typing import NamedTuple

from .links import GONE, THERE
from .messages import Message, attribute, attributes, number, u32

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

IFA_ADDRESS = 1
IFA_BROADCAST = 4
IFA_F_NODAD = 0x02
IFA_LOCAL = 2
NLM_F_CREATE = 0x400
NLM_F_EXCL = 0x200
NLM_F_REPLACE = 0x100
RTA_DST = 1
RTA_GATEWAY = 5
RTA_OIF = 4
RTA_TABLE = 15
RTM_DELROUTE = 25
RTM_NEWADDR = 20
RTM_NEWROUTE = 24
RTN_UNICAST = 1
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE = 0
RT_TABLE_MAIN = 254

ADDRESS = struct.Struct("=BBBBi")
ROUTE = struct.Struct("=BBBBBBBBI")


class Route(NamedTuple):
    """A route to a network by an interface; default routes are those to 0.0.0.0/0 and ::/0."""

    network: Subnet
    link: int
    """The interface's index."""
    gateway: str
    table: int


def add_address(index: int, address: Interface) -> Message:
    """Give an interface an address; at once, without asking who else has it (NODAD)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    raw = address.ip.packed
    body = ADDRESS.pack(family, address.network.prefixlen, IFA_F_NODAD, 0, index)
    body += attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)
    if address.version == 4:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(RTM_NEWADDR, flags, body, f"give out the address {address}", THERE)


def add_default_route(index: int, gateway: Address) -> Message:
    """Send what is for nobody near by a gateway, instead of by any that did so before."""
    body = _default_route(gateway.version) + attribute(RTA_GATEWAY, gateway.packed)
    body += attribute(RTA_OIF, u32(index))
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Message(RTM_NEWROUTE, flags, body, f"route by {gateway}")


def remove_default_route(version: int) -> Message:
    """Remove a default route, if there is one; `version` is 4 or 6."""
    return Message(RTM_DELROUTE, 0, _default_route(version), "remove the default route", GONE)


def _default_route(version: int) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return ROUTE.pack(
        family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0
    )


def read_route(body: bytes) -> Route | None:
    """Return the route that the body of an answer tells; None for one of the local table."""
    family, length, _, _, table, _, _, kind, _ = ROUTE.unpack_from(body)
    if kind != RTN_UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    given = attributes(body[ROUTE.size :])
    size = 4 if family == socket.AF_INET else 16
    gateway = given.get(RTA_GATEWAY)
    return Route(
        ipaddress.ip_network((given.get(RTA_DST, bytes(size)), length)),
        number(given.get(RTA_OIF)),
        str(ipaddress.ip_address(gateway)) if gateway else "",
        number(given.get(RTA_TABLE)) or table,
    )


def read_address(body: bytes) -> tuple[int, Interface] | None:
    """Return an address with its interface's index; None for an answer that has none."""
    _, length, _, _, index = ADDRESS.unpack_from(body)
    given = attributes(body[ADDRESS.size :])
    raw = given.get(IFA_LOCAL) or given.get(IFA_ADDRESS)
    return (index, ipaddress.ip_interface((raw, length))) if raw else None
