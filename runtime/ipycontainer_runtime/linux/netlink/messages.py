"""Messages of netlink(7) and their attributes: how they are written and read."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

IFLA_IFNAME = 3
NLM_F_REQUEST = 0x1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
NUMBER = struct.Struct("=i")
_TYPE = 0x3FFF  # without the flags that say nested or big-endian: NLA_TYPE_MASK


class Message(NamedTuple):
    """One request; `harmless` are error numbers by which it counts as done."""

    kind: int
    flags: int
    body: bytes
    what: str
    """For the error message: `set eth0 up`."""
    harmless: frozenset[int] = frozenset()


def attribute(kind: int, data: bytes) -> bytes:
    """Return an attribute as it is sent."""
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length % 4)


def packed(message: Message, number: int, flags: int) -> bytes:
    """Return a message as it is sent."""
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


def name(text: str) -> bytes:
    """Return the attribute that says which interface is meant."""
    return attribute(IFLA_IFNAME, text.encode() + b"\0")


def u32(value: int) -> bytes:
    """Return a number as most attributes have it."""
    return struct.pack("=I", value)


def number(data: bytes | None) -> int:
    """Return the number that an attribute has; 0 for one that is missing."""
    return int(NUMBER.unpack_from(data)[0]) if data else 0
