"""A router advertisement (RFC 4861 4.2), as a container's root can send it: all by hand."""

import socket
import struct

from ipycontainer_runtime.linux.inside import within

from .netlab import Host

ROUTER = "fe80::bad"
_EVERYBODY = "ff02::1"
_PREFIX = "2001:db8:bad::"
_MAC = bytes.fromhex("02420000bad0")


def advertise(host: Host) -> None:
    """Have a host tell all on its eth0 that it is their router, and which addresses they have."""
    frame = bytes.fromhex("333300000001") + _MAC + b"\x86\xdd" + _packet()

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(frame)

    within(host.netns, send)


def _packet() -> bytes:
    ends = b"".join(socket.inet_pton(socket.AF_INET6, one) for one in (ROUTER, _EVERYBODY))
    prefix = socket.inet_pton(socket.AF_INET6, _PREFIX)
    options = struct.pack(">4B3I16s", 3, 4, 64, 0xC0, 3600, 3600, 0, prefix) + b"\1\1" + _MAC
    after = struct.pack(">BBHII", 64, 0, 1800, 0, 0) + options
    length = len(after) + 4
    pseudo = ends + struct.pack(">I3xB", length, socket.IPPROTO_ICMPV6)
    message = struct.pack(">BBH", 134, 0, _checksum(pseudo + b"\x86\0\0\0" + after)) + after
    return struct.pack(">IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, 255) + ends + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
