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
CTA_FILTER_F_CTA_IP_SRC = 0x1
CTA_FILTER_F_CTA_PROTO_DST_PORT = 0x20
CTA_FILTER_F_CTA_PROTO_NUM = 0x8
CTA_FILTER_F_CTA_PROTO_SRC_PORT = 0x10
CTA_FILTER_ORIG_FLAGS = 1
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
_OF_FAMILY = 1  # a version of nfgenmsg that has the family looked at
_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_PROTOCOLS = {bytes((number,)): name for name, number in _NUMBERS.items()}
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
            left = [port for port in ports if not _all_forgotten(kernel, port)]
            for address in {port.address for port in left}:
                for flow in list(_flows(kernel, address)):
                    if (flow.protocol, flow.asked, flow.address, flow.port) in gone:
                        body = _FAMILY.pack(flow.family, 0, 0) + flow.name
                        there = frozenset((errno.ENOENT,))  # it ended by itself
                        kernel.do(Message(IPCTNL_MSG_CT_DELETE, 0, body, "forget a flow", there))
    except OSError as error:
        raise Unavailable(f"flows of a port cannot be forgotten: {error.strerror}") from error


def _all_forgotten(kernel: Netlink, port: Published) -> bool:
    """Have the kernel look for a port's flows itself; false where it cannot.

    That takes a quarter of a millisecond, and to list them ten: for this each of the 262,144
    buckets that a machine of 4 GB has is locked. An older kernel takes this for a flow's name,
    which lacks an address (EINVAL).
    """
    if ":" in port.address:  # see `_flows`
        return False
    protocol = attribute(CTA_PROTO_NUM, bytes((_NUMBERS[port.protocol],)))
    asked = protocol + attribute(CTA_PROTO_DST_PORT, struct.pack(">H", port.host_port))
    answers = protocol + attribute(CTA_PROTO_SRC_PORT, struct.pack(">H", port.port))
    source = attribute(CTA_IP_V4_SRC, ip_address(port.address).packed)
    reply = attribute(CTA_TUPLE_IP | _NESTED, source)
    reply += attribute(CTA_TUPLE_PROTO | _NESTED, answers)
    of_ask = CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_DST_PORT
    of_reply = (
        CTA_FILTER_F_CTA_IP_SRC | CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_SRC_PORT
    )
    flags = attribute(CTA_FILTER_ORIG_FLAGS, struct.pack("=I", of_ask))
    flags += attribute(CTA_FILTER_REPLY_FLAGS, struct.pack("=I", of_reply))
    body = (
        _FAMILY.pack(socket.AF_INET, _OF_FAMILY, 0)
        + attribute(CTA_TUPLE_ORIG | _NESTED, attribute(CTA_TUPLE_PROTO | _NESTED, asked))
        + attribute(CTA_TUPLE_REPLY | _NESTED, reply)
        + attribute(CTA_FILTER | _NESTED, flags)
    )
    try:
        kernel.do(Message(IPCTNL_MSG_CT_DELETE, 0, body, "forget a port's flows"))
    except OSError:
        return False
    return True


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
