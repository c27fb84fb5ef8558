"""Flows that lead to where a port no longer leads: forgotten, so that they are led anew.

The kernel decides about NAT with the first packet of a flow, and keeps to it while packets come:
a client that goes on sending, as each does whose connection is not answered, would never reach the
container that comes after, but whoever is given the address. See ctnetlink,
linux/netfilter/nfnetlink_conntrack.h.
"""

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.netlink import Message, Netlink, attribute, attributes
from ipycontainer_runtime.network.firewall.wire import Wire
from ipycontainer_runtime.store.networks import Published

CTA_FILTER = 25
CTA_FILTER_F_CTA_IP_SRC = 1
CTA_FILTER_REPLY_FLAGS = 2
CTA_IP_V4_SRC = 1
CTA_IP_V6_SRC = 3
CTA_PROTO_DST_PORT = 3
CTA_PROTO_NUM = 1
CTA_PROTO_SRC_PORT = 2
CTA_TUPLE_IP = 1
CTA_TUPLE_ORIG = 1
CTA_TUPLE_PROTO = 2
CTA_TUPLE_REPLY = 2
CTA_ZONE = 18
IPCTNL_MSG_CT_DELETE = 0x102  # of NFNL_SUBSYS_CTNETLINK
IPCTNL_MSG_CT_GET = 0x101
_NESTED = 0x8000  # NLA_F_NESTED
_FAMILY = struct.Struct("=BBH")  # nfgenmsg
_PROTOCOLS = {bytes((socket.IPPROTO_TCP,)): "tcp", bytes((socket.IPPROTO_UDP,)): "udp"}
_SOURCE: dict[int, int] = {socket.AF_INET: CTA_IP_V4_SRC, socket.AF_INET6: CTA_IP_V6_SRC}


class Flow(NamedTuple):
    """A flow that NAT leads somewhere."""

    family: int
    protocol: str
    asked: int
    """The port that was asked for."""
    address: str
    """Who answers, and at which port of his."""
    port: int
    name: bytes
    """The attributes by which the kernel knows it."""


def forget(wire: Wire, ports: Sequence[Published]) -> None:
    """Forget the flows that these ports led. Raises Unavailable when the kernel refuses."""
    gone = {(p.protocol, p.host_port, p.address, p.port) for p in ports}
    if not gone:
        return
    try:
        with wire.lent() as sock:
            kernel = Netlink(sock)
            for address in {port.address for port in ports}:
                for flow in list(_flows(kernel, address)):
                    if (flow.protocol, flow.asked, flow.address, flow.port) in gone:
                        body = _FAMILY.pack(flow.family, 0, 0) + flow.name
                        there = frozenset((errno.ENOENT,))  # it ended by itself
                        kernel.do(Message(IPCTNL_MSG_CT_DELETE, 0, body, "forget a flow", there))
    except OSError as error:
        raise Unavailable(f"flows of a port cannot be forgotten: {error.strerror}") from error


def _flows(kernel: Netlink, address: str) -> Iterator[Flow]:
    """Yield the flows that an address answers, and others where the kernel cannot choose."""
    four = ":" not in address
    family = socket.AF_INET if four else socket.AF_INET6
    wish = _answered_by(address) if four else b""  # Linux 6.18 means the others by an IPv6 address
    for body in kernel.dump(IPCTNL_MSG_CT_GET, _FAMILY.pack(family, 0, 0) + wish):
        if (flow := _flow(family, attributes(body[_FAMILY.size :]))) is not None:
            yield flow


def _answered_by(address: str) -> bytes:
    """Return the attributes that ask for an address's flows alone; ignored before Linux 5.8."""
    source = attribute(CTA_IP_V4_SRC, ip_address(address).packed)
    flags = attribute(CTA_FILTER_REPLY_FLAGS, struct.pack("=I", CTA_FILTER_F_CTA_IP_SRC))
    reply = attribute(CTA_TUPLE_IP | _NESTED, source)
    return attribute(CTA_TUPLE_REPLY | _NESTED, reply) + attribute(CTA_FILTER | _NESTED, flags)


def _flow(family: int, told: dict[int, bytes]) -> Flow | None:
    asked, answered = told.get(CTA_TUPLE_ORIG, b""), told.get(CTA_TUPLE_REPLY, b"")
    protocol = attributes(attributes(asked).get(CTA_TUPLE_PROTO, b""))
    known = _PROTOCOLS.get(protocol.get(CTA_PROTO_NUM, b""))
    if known is None:
        return None
    back = attributes(answered)
    name = attribute(CTA_TUPLE_ORIG | _NESTED, asked)
    if CTA_ZONE in told:
        name += attribute(CTA_ZONE, told[CTA_ZONE])
    return Flow(
        family,
        known,
        _port(protocol, CTA_PROTO_DST_PORT),
        str(ip_address(attributes(back[CTA_TUPLE_IP])[_SOURCE[family]])),
        _port(attributes(back[CTA_TUPLE_PROTO]), CTA_PROTO_SRC_PORT),
        name,
    )


def _port(told: dict[int, bytes], which: int) -> int:
    return int.from_bytes(told[which], "big")
