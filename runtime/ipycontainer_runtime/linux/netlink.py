"""rtnetlink by hand: the interfaces, addresses and routes of containers. See rtnetlink(7).

A container has a few milliseconds for its network, so messages go to the kernel by the batch: one
system call for what the `ip` command takes six processes for.
"""

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

IFA_ADDRESS = 1
IFA_BROADCAST = 4
IFA_F_NODAD = 0x02
IFA_LOCAL = 2
IFF_UP = 0x1
IFLA_ADDRESS = 1
IFLA_AF_SPEC = 26
IFLA_BRPORT_ISOLATED = 33
IFLA_IFALIAS = 20
IFLA_IFNAME = 3
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
NLM_F_ACK = 0x4
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_REPLACE = 0x100
NLM_F_REQUEST = 0x1
NLMSG_DONE = 3
NLMSG_ERROR = 2
RTA_DST = 1
RTA_GATEWAY = 5
RTA_OIF = 4
RTA_TABLE = 15
RTM_DELLINK = 17
RTM_DELROUTE = 25
RTM_GETADDR = 22
RTM_GETLINK = 18
RTM_GETROUTE = 26
RTM_NEWADDR = 20
RTM_NEWLINK = 16
RTM_NEWROUTE = 24
RTN_UNICAST = 1
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE = 0
RT_TABLE_MAIN = 254
SIOCGIFINDEX = 0x8933
VETH_INFO_PEER = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NUMBER = struct.Struct("=i")
_LARGEST = 1 << 17
_GONE = frozenset((errno.ENODEV, errno.ESRCH, errno.ENOENT))
_THERE = frozenset((errno.EEXIST,))
_NO_IPV6 = frozenset((errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL))
_TYPE = 0x3FFF  # without the flags that say nested or big-endian: NLA_TYPE_MASK


class Message(NamedTuple):
    """One request; `harmless` are error numbers by which it counts as done."""

    kind: int
    flags: int
    body: bytes
    what: str
    """For the error message: `set eth0 up`."""
    harmless: frozenset[int] = frozenset()


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


class Route(NamedTuple):
    """A route to a network by an interface; default routes are those to 0.0.0.0/0 and ::/0."""

    network: Subnet
    link: int
    """The interface's index."""
    gateway: str
    table: int


class Netlink:
    """A rtnetlink socket in one network namespace; used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        """Take a socket that `opened` made."""
        self._sock = sock
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, *messages: Message) -> None:
        """Have the kernel do these in their order, all of them in one system call.

        Raises OSError for the first that fails; the kernel goes on with the rest all the same.
        """
        waiting = {self._sequence + 1 + number: message for number, message in enumerate(messages)}
        self._sock.send(
            b"".join(_packed(message, number, NLM_F_ACK) for number, message in waiting.items())
        )
        self._sequence += len(messages)
        failed: OSError | None = None
        while waiting:
            for kind, number, body in split(self._sock.recv(_LARGEST)):
                if kind != NLMSG_ERROR or number not in waiting:
                    continue  # an answer to a request before this one, which was given up
                message = waiting.pop(number)
                error = -_NUMBER.unpack_from(body)[0]
                if error and error not in message.harmless:
                    failed = failed or OSError(error, f"{os.strerror(error)} ({message.what})")
        if failed is not None:
            raise failed

    def index(self, name: str) -> int:
        """Return an interface's number in this socket's namespace; OSError where there is none."""
        request = struct.pack("16si12x", name.encode(), 0)
        return int(struct.unpack("16si12x", fcntl.ioctl(self._sock, SIOCGIFINDEX, request))[1])

    def links(self) -> list[Link]:
        """Return all interfaces."""
        return [_link(body) for body in self.dump(RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))]

    def link(self, name: str) -> Link | None:
        """Return the interface of this name; None where there is none."""
        return next((link for link in self.links() if link.name == name), None)

    def addresses(self) -> list[tuple[int, Interface]]:
        """Return every address with its interface's index."""
        found = []
        for body in self.dump(RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            _, length, _, _, index = _ADDRESS.unpack_from(body)
            given = attributes(body[_ADDRESS.size :])
            raw = given.get(IFA_LOCAL) or given.get(IFA_ADDRESS)
            if raw:
                found.append((index, ipaddress.ip_interface((raw, length))))
        return found

    def routes(self) -> list[Route]:
        """Return the routes of all tables but the kernel's local one."""
        return [
            route
            for body in self.dump(RTM_GETROUTE, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))
            if (route := _route(body))
        ]

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Yield the bodies of all that the kernel has of a kind."""
        self._sequence += 1
        number = self._sequence
        self._sock.send(_packed(Message(kind, NLM_F_DUMP, body, ""), number, 0))
        while True:
            for answer, to, content in split(self._sock.recv(_LARGEST)):
                if to != number:
                    continue
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    error = -_NUMBER.unpack_from(content)[0]
                    raise OSError(error, os.strerror(error))
                yield content


def opened() -> Netlink:
    """Return a socket in the calling thread's network namespace."""
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    sock.bind((0, 0))
    return Netlink(sock)


# -- requests


def add_bridge(name: str, mac: str, mtu: int = 0) -> Message:
    """Make a bridge; one of this name that is there already is left as it is.

    It has its address from the beginning: a bridge without takes the lowest of its ports', and so
    would change it under its neighbours whenever a container comes.
    """
    info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"bridge"))
    size = attribute(IFLA_MTU, _u32(mtu)) if mtu else b""
    body = _link_body() + _name(name) + attribute(IFLA_ADDRESS, mac_bytes(mac)) + size + info
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(RTM_NEWLINK, flags, body, f"make the bridge {name}", _THERE)


def set_alias(name: str, alias: str) -> Message:
    """Say whose an interface is."""
    text = attribute(IFLA_IFALIAS, alias.encode())
    return Message(RTM_NEWLINK, 0, _link_body() + _name(name) + text, f"name the owner of {name}")


def add_veth(
    name: str, *, master: int, peer: str, netns: int, mac: str = "", mtu: int = 0
) -> Message:
    """Make a pair whose one end is `name`, a port of `master`, and the other in a namespace.

    `netns` is the namespace's descriptor, `peer` the name there and `mac` its address.
    """
    size = attribute(IFLA_MTU, _u32(mtu)) if mtu else b""
    other = _link_body() + _name(peer) + size
    if mac:
        other += attribute(IFLA_ADDRESS, mac_bytes(mac))
    other += attribute(IFLA_NET_NS_FD, _u32(netns))
    info = attribute(IFLA_INFO_KIND, b"veth")
    info += attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other))
    body = _link_body() + _name(name) + size
    body += attribute(IFLA_MASTER, _u32(master)) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make the interface {name}")


def set_up(name: str) -> Message:
    """Switch an interface on."""
    body = _LINK.pack(0, 0, 0, IFF_UP, IFF_UP) + _name(name)
    return Message(RTM_NEWLINK, 0, body, f"set {name} up")


def set_down(name: str) -> Message:
    """Switch an interface off."""
    body = _LINK.pack(0, 0, 0, 0, IFF_UP) + _name(name)
    return Message(RTM_NEWLINK, 0, body, f"set {name} down")


def isolate(name: str) -> Message:
    """Have a bridge's port send nothing to other ports like it."""
    data = attribute(IFLA_BRPORT_ISOLATED, b"\1")
    info = attribute(IFLA_INFO_SLAVE_KIND, b"bridge") + attribute(IFLA_INFO_SLAVE_DATA, data)
    body = _link_body() + _name(name) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, 0, body, f"keep {name} from its neighbours")


def announced(name: str) -> Message:
    """Have an interface tell its addresses to its neighbours when it is switched on.

    They may know another at such an address, which a container had that has gone.
    """
    conf = attribute(IFLA_INET_CONF, attribute(IPV4_DEVCONF_ARP_NOTIFY, _u32(1)))
    body = attribute(IFLA_AF_SPEC, attribute(socket.AF_INET, conf))
    return Message(RTM_NEWLINK, 0, _link_body() + _name(name) + body, f"announce {name}")


def without_link_local(name: str) -> Message:
    """Have an interface get no IPv6 address by itself; before it is switched on.

    Nothing is sent then either, neither for its duplicates nor to its routers. A kernel without
    IPv6 knows no such wish and needs none.
    """
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes((IN6_ADDR_GEN_MODE_NONE,)))
    body = attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
    return Message(
        RTM_NEWLINK, 0, _link_body() + _name(name) + body, f"keep IPv6 off {name}", _NO_IPV6
    )


def remove_link(name: str) -> Message:
    """Remove an interface, if it is there."""
    return Message(RTM_DELLINK, 0, _link_body() + _name(name), f"remove {name}", _GONE)


def add_address(index: int, address: Interface) -> Message:
    """Give an interface an address; at once, without asking who else has it (NODAD)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    raw = address.ip.packed
    body = _ADDRESS.pack(family, address.network.prefixlen, IFA_F_NODAD, 0, index)
    body += attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)
    if address.version == 4:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(RTM_NEWADDR, flags, body, f"give out the address {address}", _THERE)


def add_default_route(index: int, gateway: Address) -> Message:
    """Send what is for nobody near by a gateway, instead of by any that did so before."""
    body = _default_route(gateway.version) + attribute(RTA_GATEWAY, gateway.packed)
    body += attribute(RTA_OIF, _u32(index))
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Message(RTM_NEWROUTE, flags, body, f"route by {gateway}")


def remove_default_route(version: int) -> Message:
    """Remove a default route, if there is one; `version` is 4 or 6."""
    return Message(RTM_DELROUTE, 0, _default_route(version), "remove the default route", _GONE)


def mac_bytes(mac: str) -> bytes:
    """Return the six bytes of a MAC address written as 02:42:ac:11:00:02."""
    return bytes.fromhex(mac.replace(":", ""))


def _default_route(version: int) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return _ROUTE.pack(
        family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0
    )


def _link_body() -> bytes:
    return _LINK.pack(0, 0, 0, 0, 0)


def _name(name: str) -> bytes:
    return attribute(IFLA_IFNAME, name.encode() + b"\0")


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)


def attribute(kind: int, data: bytes) -> bytes:
    """Return an attribute as it is sent."""
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length % 4)


def _packed(message: Message, number: int, flags: int) -> bytes:
    size = _HEADER.size + len(message.body)
    return (
        _HEADER.pack(size, message.kind, message.flags | flags | NLM_F_REQUEST, number, 0)
        + message.body
    )


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the kind, the sequence number and the body of each message."""
    at = 0
    while at < len(data):
        length, kind, _, number, _ = _HEADER.unpack_from(data, at)
        yield kind, number, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Return attributes by their kinds; what is cut off is left out."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    given = attributes(body[_LINK.size :])
    info = attributes(given.get(IFLA_LINKINFO, b""))
    return Link(
        number=index,
        name=_text(given.get(IFLA_IFNAME, b"")),
        alias=_text(given.get(IFLA_IFALIAS, b"")),
        kind=_text(info.get(IFLA_INFO_KIND, b"")),
        master=_number(given.get(IFLA_MASTER)),
        mac=given.get(IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & IFF_UP),
        peer=_number(given.get(IFLA_LINK)),
    )


def _number(data: bytes | None) -> int:
    return int(_NUMBER.unpack_from(data)[0]) if data else 0


def _route(body: bytes) -> Route | None:
    family, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    if kind != RTN_UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    given = attributes(body[_ROUTE.size :])
    size = 4 if family == socket.AF_INET else 16
    gateway = given.get(RTA_GATEWAY)
    return Route(
        ipaddress.ip_network((given.get(RTA_DST, bytes(size)), length)),
        _number(given.get(RTA_OIF)),
        str(ipaddress.ip_address(gateway)) if gateway else "",
        _number(given.get(RTA_TABLE)) or table,
    )
