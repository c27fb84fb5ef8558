"""Flows of UDP that lead to where a port no longer leads: forgotten, so that they are led anew.

The kernel decides about NAT with the first packet of a flow, and keeps to it while packets come:
a client that goes on sending would never reach the container that comes after. See ctnetlink,
linux/netfilter/nfnetlink_conntrack.h.
"""

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.linux.netlink import Message, Netlink, attribute, attributes
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

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
NETLINK_NETFILTER = 12
_NESTED = 0x8000  # NLA_F_NESTED
_FAMILY = struct.Struct("=BBH")  # nfgenmsg


class Flow(NamedTuple):
    """A flow that NAT leads somewhere."""

    family: int
    asked: int
    """The port that was asked for."""
    address: str
    """Who answers, and at which port of his."""
    port: int
    name: bytes
    """The attributes by which the kernel knows it."""


def forget(place: Place, ports: Sequence[Published]) -> None:
    """Forget the flows of UDP that these ports led. Raises Unavailable when the kernel refuses."""
    gone = {(p.host_port, p.address, p.port) for p in ports if p.protocol == "udp"}
    if not gone:
        return
    try:
        with within(place.netns, _opened) as kernel:
            for flow in list(_flows(kernel)):
                if (flow.asked, flow.address, flow.port) in gone:
                    body = _FAMILY.pack(flow.family, 0, 0) + flow.name
                    there = frozenset((errno.ENOENT,))  # it ended by itself
                    kernel.do(Message(IPCTNL_MSG_CT_DELETE, 0, body, "forget a flow", there))
    except OSError as error:
        raise Unavailable(f"flows of UDP cannot be forgotten: {error.strerror}") from error


def _opened() -> Netlink:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    )
    sock.bind((0, 0))
    return Netlink(sock)


def _flows(kernel: Netlink) -> Iterator[Flow]:
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in kernel.dump(IPCTNL_MSG_CT_GET, _FAMILY.pack(family, 0, 0)):
            if (flow := _flow(family, attributes(body[_FAMILY.size :]))) is not None:
                yield flow


def _flow(family: int, told: dict[int, bytes]) -> Flow | None:
    asked, answered = told.get(CTA_TUPLE_ORIG, b""), told.get(CTA_TUPLE_REPLY, b"")
    protocol = attributes(attributes(asked).get(CTA_TUPLE_PROTO, b""))
    if protocol.get(CTA_PROTO_NUM) != bytes((socket.IPPROTO_UDP,)):
        return None
    back = attributes(answered)
    source = CTA_IP_V4_SRC if family == socket.AF_INET else CTA_IP_V6_SRC
    name = attribute(CTA_TUPLE_ORIG | _NESTED, asked)
    if CTA_ZONE in told:
        name += attribute(CTA_ZONE, told[CTA_ZONE])
    return Flow(
        family,
        _port(protocol, CTA_PROTO_DST_PORT),
        str(ip_address(attributes(back[CTA_TUPLE_IP])[source])),
        _port(attributes(back[CTA_TUPLE_PROTO]), CTA_PROTO_SRC_PORT),
        name,
    )


def _port(told: dict[int, bytes], which: int) -> int:
    return int.from_bytes(told[which], "big")
