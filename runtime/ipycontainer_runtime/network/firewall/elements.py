"""Elements of a table's sets and maps, changed in one batch by hand: `nft` takes 8 ms, this 0.3.

Every published port of a start waits for it. See linux/netfilter/nfnetlink.h and nf_tables.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.netlink import Message, attribute, split
from ipycontainer_runtime.linux.netlink.messages import packed
from ipycontainer_runtime.linux.netlink.sockets import NLM_F_ACK, NLMSG_ERROR
from ipycontainer_runtime.network.firewall.ports import ANY
from ipycontainer_runtime.network.firewall.wire import Wire
from ipycontainer_runtime.store.networks import Published

NFNL_MSG_BATCH_BEGIN = 0x10
NFNL_MSG_BATCH_END = 0x11
NFNL_SUBSYS_NFTABLES = 10
NFPROTO_INET = 1
NFTA_DATA_VALUE = 1
NFTA_LIST_ELEM = 1
NFTA_SET_ELEM_DATA = 2
NFTA_SET_ELEM_KEY = 1
NFTA_SET_ELEM_LIST_ELEMENTS = 3
NFTA_SET_ELEM_LIST_SET = 2
NFTA_SET_ELEM_LIST_TABLE = 1
NFT_MSG_DELSETELEM = 14
NFT_MSG_NEWSETELEM = 12
NLM_F_CREATE = 0x400
SO_SNDBUFFORCE = 32
_NESTED = 0x8000  # NLA_F_NESTED
_FAMILY = struct.Struct(">BBH")  # nfgenmsg
_NUMBER = struct.Struct("=i")
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_INTERFACE = 16  # IFNAMSIZ
_LARGEST = 1 << 16
_USUAL = 100_000
"""Bytes that a socket takes at once with the machine's usual settings."""


class Element(NamedTuple):
    """One element: of a set, or of a map where it has data. Both are fields one after the other."""

    held_by: str
    key: bytes
    data: bytes = b""


def leading(port: Published) -> Element:
    """Return the element of a map that leads this port; `rules.leading` says it in nft's words."""
    target = ip_address(port.address)
    asked = _service(port.protocol, port.host_port)
    data = target.packed + _port(port.port)
    if port.host_address == ANY[target.version]:
        return Element(f"any{target.version}", asked, data)
    return Element(f"at{target.version}", ip_address(port.host_address).packed + asked, data)


def near(device: str, protocol: str, port: int) -> Element:
    """Return the element of `near` for a port that leads back to this device."""
    return Element("near", device.encode().ljust(_INTERFACE, b"\0") + _service(protocol, port))


def change(wire: Wire, table: str, gone: Iterable[Element], new: Iterable[Element]) -> None:
    """Take elements out of a table of the family inet and put others in: all of it, or nothing.

    Raises Unavailable when the kernel refuses, as where one is missing that is to go.
    """
    kinds = ((NFT_MSG_DELSETELEM, 0, gone), (NFT_MSG_NEWSETELEM, NLM_F_CREATE, new))
    messages = [
        (NFNL_SUBSYS_NFTABLES << 8 | kind, flags, _body(table, element))
        for kind, flags, elements in kinds
        for element in elements
    ]
    if not messages:
        return
    *others, (kind, flags, body) = messages
    last = (kind, flags | NLM_F_ACK, body)  # one answer, however many there are
    bounds = _FAMILY.pack(socket.AF_UNSPEC, 0, NFNL_SUBSYS_NFTABLES)
    batch = [(NFNL_MSG_BATCH_BEGIN, 0, bounds), *others, last, (NFNL_MSG_BATCH_END, 0, bounds)]
    sent = (
        packed(Message(*message, "lead ports"), number, 0) for number, message in enumerate(batch)
    )
    try:
        with wire.lent() as kernel:
            _do(kernel, b"".join(sent))
    except OSError as error:
        raise Unavailable(f"published ports of {table} cannot be led: {error.strerror}") from error


def _do(kernel: socket.socket, batch: bytes) -> None:
    """Have the kernel do a batch; OSError for what failed.

    That may be told after the acknowledgement of what is undone for it, so all is heard.
    """
    kernel.setblocking(False)  # it answers before `send` returns
    if len(batch) > _USUAL:
        kernel.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * len(batch))
    kernel.send(batch)
    errors = [
        -_NUMBER.unpack_from(body)[0]
        for answer in iter(lambda: _answer(kernel), b"")
        for kind, _, body in split(answer)
        if kind == NLMSG_ERROR
    ]
    if failed := next(filter(None, errors), None if errors else errno.EOPNOTSUPP):
        raise OSError(failed, os.strerror(failed))


def _answer(kernel: socket.socket) -> bytes:
    try:
        return kernel.recv(_LARGEST)
    except BlockingIOError:
        return b""


def _body(table: str, element: Element) -> bytes:
    held = _value(NFTA_SET_ELEM_KEY, element.key)
    if element.data:
        held += _value(NFTA_SET_ELEM_DATA, element.data)
    listed = attribute(NFTA_LIST_ELEM | _NESTED, held)
    return (
        _FAMILY.pack(NFPROTO_INET, 0, 0)
        + attribute(NFTA_SET_ELEM_LIST_TABLE, table.encode() + b"\0")
        + attribute(NFTA_SET_ELEM_LIST_SET, element.held_by.encode() + b"\0")
        + attribute(NFTA_SET_ELEM_LIST_ELEMENTS | _NESTED, listed)
    )


def _value(kind: int, data: bytes) -> bytes:
    return attribute(kind | _NESTED, attribute(NFTA_DATA_VALUE, data))


def _service(protocol: str, port: int) -> bytes:
    return bytes((_PROTOCOLS[protocol], 0, 0, 0)) + _port(port)


def _port(number: int) -> bytes:
    return struct.pack(">HH", number, 0)
