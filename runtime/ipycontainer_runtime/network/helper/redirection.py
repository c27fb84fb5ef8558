"""Port 53 of 127.0.0.11 leads to the resolver's own ports: one nftables table in the container's
network namespace, as Docker has it there.

So a DNS server in the container may bind port 53 of all addresses. By hand, since `nft` takes
10 ms and this 0.3: one batch of nfnetlink (linux/netfilter/nfnetlink.h, nf_tables.h). Numbers are
big-endian there. `linux.netlink` speaks to routes, and would cost the helper its imports.
"""

import errno
import os
import socket
import struct

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = 0, 2, 3, 6
_REQUEST, _ACK, _EXCL, _CREATE, _APPEND = 0x001, 0x004, 0x200, 0x400, 0x800
_ERROR = 2
_NETLINK_NETFILTER = 12
_OUTPUT, _PRIORITY = 3, -100  # NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST
_REGISTER, _NEXT_REGISTER = 1, 2
_NETWORK, _TRANSPORT = 1, 2  # the header that a payload is of
_L4PROTO = 16  # NFT_META_L4PROTO
_DNAT = 1
_LAST = 6  # the sequence number of the last rule, which is acknowledged when all is done
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHIIBBH")
_NAME = b"ipycontainer\0"
_CHAIN = b"resolver\0"


def redirect(address: str, port: int, udp: int, tcp: int) -> None:
    """Send what the calling thread's namespace sends to an address and port to other ports of it.

    Raises OSError where the kernel has no nftables or forbids it.
    """
    rules = (
        _rule(number, protocol, address, port, to)
        for number, protocol, to in (
            (_LAST - 1, socket.IPPROTO_UDP, udp),
            (_LAST, socket.IPPROTO_TCP, tcp),
        )
    )
    batch = _CHAIN_OF_TABLE + b"".join(rules) + _END
    try:
        _do(_BEGIN + _TABLE + batch)
    except FileExistsError:
        # Of a helper that was killed. To remove it makes the kernel wait for all processors.
        _do(_BEGIN + _REMOVAL + _TABLE + batch)


def _do(batch: bytes) -> None:
    """Have the kernel do all of a batch or nothing."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.bind((0, 0))
        kernel.setblocking(False)  # it answers before `send` returns
        kernel.send(batch)
        answers = list(iter(lambda: _answer(kernel), b""))
    # Each, since what failed may be told after the acknowledgement of what was undone for it.
    if not [data for data in answers if _done(data)]:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), "nftables")


def _answer(kernel: socket.socket) -> bytes:
    try:
        return kernel.recv(1 << 16)
    except BlockingIOError:
        return b""


def _done(data: bytes) -> bool:
    """Tell whether the last rule was acknowledged; OSError for what failed."""
    at = 0
    while at < len(data):
        length, kind, _, number, _ = struct.unpack_from("=IHHII", data, at)
        (error,) = struct.unpack_from("=i", data, at + 16)
        if kind == _ERROR and error:
            raise OSError(-error, os.strerror(-error), "nftables")
        if kind == _ERROR and number == _LAST:
            return True
        at += (length + 3) & ~3
    return False


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))


def _numbers(**values: int) -> bytes:
    """Return attributes with numbers, by their kinds: `a1=5` is 5 under 1."""
    return b"".join(
        _attribute(int(kind[1:]), struct.pack(">i", value)) for kind, value in values.items()
    )


def _message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    kind, resource = (kind, _SUBSYSTEM) if kind >= _BATCH_BEGIN else (kind | _SUBSYSTEM << 8, 0)
    family = socket.AF_INET if not resource else socket.AF_UNSPEC
    size = _HEADER.size + len(body)
    order = socket.htons(resource)
    return _HEADER.pack(size, kind, flags | _REQUEST, number, 0, family, 0, order) + body


def _rule(number: int, protocol: int, address: str, port: int, to: int) -> bytes:
    raw = socket.inet_aton(address)
    expressions = (
        _expression(b"payload", _numbers(a1=_REGISTER, a2=_NETWORK, a3=16, a4=4)),
        _equal(raw),
        _expression(b"meta", _numbers(a1=_REGISTER, a2=_L4PROTO)),
        _equal(bytes((protocol,))),
        _expression(b"payload", _numbers(a1=_REGISTER, a2=_TRANSPORT, a3=2, a4=2)),
        _equal(struct.pack(">H", port)),
        _expression(b"immediate", _numbers(a1=_REGISTER) + _value(2, raw)),
        _expression(b"immediate", _numbers(a1=_NEXT_REGISTER) + _value(2, struct.pack(">H", to))),
        _expression(b"nat", _numbers(a1=_DNAT, a2=socket.AF_INET, a3=_REGISTER, a5=_NEXT_REGISTER)),
    )
    body = _attribute(1, _NAME) + _attribute(2, _CHAIN) + _nested(4, *expressions)
    return _message(_NEWRULE, _ACK | _CREATE | _APPEND, number, body)


def _expression(name: bytes, data: bytes) -> bytes:
    return _nested(1, _attribute(1, name + b"\0"), _nested(2, data))


def _equal(value: bytes) -> bytes:
    return _expression(b"cmp", _numbers(a1=_REGISTER, a2=0) + _value(3, value))


def _value(kind: int, value: bytes) -> bytes:
    return _nested(kind, _attribute(1, value))


_BEGIN = _message(_BATCH_BEGIN, 0, 1, b"")
_REMOVAL = _message(_DELTABLE, 0, 2, _attribute(1, _NAME))
_TABLE = _message(_NEWTABLE, _CREATE | _EXCL, 3, _attribute(1, _NAME))
_CHAIN_OF_TABLE = _message(
    _NEWCHAIN,
    _CREATE,
    4,
    _attribute(1, _NAME)
    + _attribute(3, _CHAIN)
    + _nested(4, _numbers(a1=_OUTPUT, a2=_PRIORITY))
    + _attribute(7, b"nat\0"),
)
_END = _message(_BATCH_END, 0, _LAST + 1, b"")
