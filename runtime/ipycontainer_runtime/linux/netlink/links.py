"""Interfaces: what the kernel is asked for, and what it tells of them. See rtnetlink(7)."""

import errno
import socket
import struct
from typing import NamedTuple

from .messages import IFLA_IFNAME, Message, attribute, attributes, number, u32
from .messages import name as name_of

IFF_UP = 0x1
IFLA_ADDRESS = 1
IFLA_AF_SPEC = 26
IFLA_BRPORT_ISOLATED = 33
IFLA_IFALIAS = 20
IFLA_INET6_ADDR_GEN_MODE = 8
IFLA_INET_CONF = 1
IFLA_INFO_DATA = 2
IFLA_INFO_KIND = 1
IFLA_INFO_SLAVE_DATA = 5
IFLA_INFO_SLAVE_KIND = 4
IFLA_LINK = 5
IFLA_LINKINFO = 18
IFLA_MASTER = 10
IFLA_MTU = 4
IFLA_NET_NS_FD = 28
IN6_ADDR_GEN_MODE_NONE = 1
IPV4_DEVCONF_ARP_NOTIFY = 22
NLM_F_CREATE = 0x400
NLM_F_EXCL = 0x200
RTM_DELLINK = 17
RTM_NEWLINK = 16
VETH_INFO_PEER = 1

BODY = struct.Struct("=BxHiII")
GONE = frozenset((errno.ENODEV, errno.ESRCH, errno.ENOENT))
THERE = frozenset((errno.EEXIST,))
_NO_IPV6 = frozenset((errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL))


class Link(NamedTuple):
    """An interface as the kernel tells of it."""

    number: int
    """Its index in its namespace."""
    name: str
    alias: str
    kind: str
    """veth, bridge, …; empty for hardware."""
    master: int
    mac: str
    up: bool
    peer: int
    """The other end's index where there is one (IFLA_LINK)."""


def add_bridge(name: str, mac: str, mtu: int = 0) -> Message:
    """Make a bridge; one of this name that is there already is left as it is.

    It has its address from the beginning: a bridge without takes the lowest of its ports', and so
    would change it under its neighbours whenever a container comes.
    """
    info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"bridge"))
    size = attribute(IFLA_MTU, u32(mtu)) if mtu else b""
    body = _link_body() + name_of(name) + attribute(IFLA_ADDRESS, mac_bytes(mac)) + size + info
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(RTM_NEWLINK, flags, body, f"make the bridge {name}", THERE)


def set_alias(name: str, alias: str) -> Message:
    """Say whose an interface is."""
    text = attribute(IFLA_IFALIAS, alias.encode())
    return Message(RTM_NEWLINK, 0, _link_body() + name_of(name) + text, f"name the owner of {name}")


def add_veth(
    name: str, *, master: int, peer: str, netns: int, mac: str = "", mtu: int = 0
) -> Message:
    """Make a pair whose one end is `name`, a port of `master`, and the other in a namespace.

    `netns` is the namespace's descriptor, `peer` the name there and `mac` its address.
    """
    size = attribute(IFLA_MTU, u32(mtu)) if mtu else b""
    other = _link_body() + name_of(peer) + size
    if mac:
        other += attribute(IFLA_ADDRESS, mac_bytes(mac))
    other += attribute(IFLA_NET_NS_FD, u32(netns))
    info = attribute(IFLA_INFO_KIND, b"veth")
    info += attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other))
    body = _link_body() + name_of(name) + size
    body += attribute(IFLA_MASTER, u32(master)) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make the interface {name}")


def set_up(name: str) -> Message:
    """Switch an interface on."""
    body = BODY.pack(0, 0, 0, IFF_UP, IFF_UP) + name_of(name)
    return Message(RTM_NEWLINK, 0, body, f"set {name} up")


def set_down(name: str) -> Message:
    """Switch an interface off."""
    body = BODY.pack(0, 0, 0, 0, IFF_UP) + name_of(name)
    return Message(RTM_NEWLINK, 0, body, f"set {name} down")


def isolate(name: str) -> Message:
    """Have a bridge's port send nothing to other ports like it."""
    data = attribute(IFLA_BRPORT_ISOLATED, b"\1")
    info = attribute(IFLA_INFO_SLAVE_KIND, b"bridge") + attribute(IFLA_INFO_SLAVE_DATA, data)
    body = _link_body() + name_of(name) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, 0, body, f"keep {name} from its neighbours")


def announced(name: str) -> Message:
    """Have an interface tell its addresses to its neighbours when it is switched on.

    They may know another at such an address, which a container had that has gone.
    """
    conf = attribute(IFLA_INET_CONF, attribute(IPV4_DEVCONF_ARP_NOTIFY, u32(1)))
    body = attribute(IFLA_AF_SPEC, attribute(socket.AF_INET, conf))
    return Message(RTM_NEWLINK, 0, _link_body() + name_of(name) + body, f"announce {name}")


def without_link_local(name: str) -> Message:
    """Have an interface get no IPv6 address by itself; before it is switched on.

    Nothing is sent then either, neither for its duplicates nor to its routers. A kernel without
    IPv6 knows no such wish and needs none.
    """
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes((IN6_ADDR_GEN_MODE_NONE,)))
    body = attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
    return Message(
        RTM_NEWLINK, 0, _link_body() + name_of(name) + body, f"keep IPv6 off {name}", _NO_IPV6
    )


def remove_link(name: str) -> Message:
    """Remove an interface, if it is there."""
    return Message(RTM_DELLINK, 0, _link_body() + name_of(name), f"remove {name}", GONE)


def mac_bytes(mac: str) -> bytes:
    """Return the six bytes of a MAC address written as 02:42:ac:11:00:02."""
    return bytes.fromhex(mac.replace(":", ""))


def _link_body() -> bytes:
    return BODY.pack(0, 0, 0, 0, 0)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def read(body: bytes) -> Link:
    """Return what the body of an answer tells."""
    _, _, index, flags, _ = BODY.unpack_from(body)
    given = attributes(body[BODY.size :])
    info = attributes(given.get(IFLA_LINKINFO, b""))
    return Link(
        number=index,
        name=_text(given.get(IFLA_IFNAME, b"")),
        alias=_text(given.get(IFLA_IFALIAS, b"")),
        kind=_text(info.get(IFLA_INFO_KIND, b"")),
        master=number(given.get(IFLA_MASTER)),
        mac=given.get(IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & IFF_UP),
        peer=number(given.get(IFLA_LINK)),
    )
