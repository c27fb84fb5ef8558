"""What of a DNS message a resolver in the middle must understand; the rest passes as it came.

Only header and question are parsed (RFC 1035 4.1), so nothing that a hostile message has after
them costs anything. dnslib follows no compression pointer that does not lead back.
"""

import socket
import struct
from typing import NamedTuple

from dnslib.dns import (
    EDNS0,
    PTR,
    QTYPE,
    RCODE,
    RR,
    DNSError,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)
from dnslib.label import DNSBuffer, DNSLabelError

PLAIN = 512  # what anybody takes by UDP
LARGEST_QUERY = 4096  # nobody asks more, and an update or a zone is nothing for us
TTL = 600  # seconds, Docker's
MOST_ADDRESSES = 1024  # in one answer, which has 64 KB by TCP
HEADER = 12
INTERNET = 1  # the class IN
POINTER = 12  # the type PTR
LONGEST_LABEL = 63
LONGEST_NAME = 253  # 255 bytes with the lengths of the first and the last label (RFC 1035 2.3.4)
_ID = struct.Struct(">H")
_FLAGS = struct.Struct(">H")
_HEAD = struct.Struct(">6H")
_RECORD = struct.Struct(">HHHIH")
_NAME_OF_QUESTION = 0xC000 | HEADER  # a pointer to it
_QR, _OPCODE, _TC, _RD, _RA = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080
_OPT = b"\x00\x00\x29"  # the root's name and the type of EDNS's record (RFC 6891 6.1.2)
_OPTION = _OPT + struct.pack(">HIH", LARGEST_QUERY, 0, 0)


class Query(NamedTuple):
    """A question as it came."""

    message: bytes
    """As far as it is passed on, with the asker's id."""
    header: DNSHeader
    question: DNSQuestion
    name: str
    """In lower case, without a dot at its end."""
    end: int
    """Where in the message the question ends."""


def parse(message: bytes) -> Query | None:
    """Return what is asked, or None for a message that is no query with one question."""
    if not HEADER < len(message) <= LARGEST_QUERY:
        return None
    buffer = DNSBuffer(message)
    try:
        header = DNSHeader.parse(buffer)
        if header.get_qr() or header.get_opcode() or header.q != 1:
            return None
        question = DNSQuestion.parse(buffer)
    except DNSError:
        return None
    # dnslib takes for a length what says an odd kind of label.
    labels = question.qname.label
    if len(question.qname) > LONGEST_NAME or any(len(label) > LONGEST_LABEL for label in labels):
        return None
    name = b".".join(labels).decode().lower()
    return Query(message, header, question, name, buffer.offset)


def with_addresses(query: Query, addresses: list[str]) -> bytes:
    """Answer a name that is ours: with its addresses of the type asked for, or with none.

    Packed here, since dnslib takes 0.1 ms for it: the question is answered as it was written.
    """
    kind = query.question.qtype
    family = {QTYPE.A: socket.AF_INET, QTYPE.AAAA: socket.AF_INET6}.get(kind)
    raw = [
        socket.inet_pton(family, address)
        for address in addresses
        if family == (socket.AF_INET6 if ":" in address else socket.AF_INET)
    ][:MOST_ADDRESSES]
    records = b"".join(
        _RECORD.pack(_NAME_OF_QUESTION, kind, INTERNET, TTL, len(data)) + data for data in raw
    )
    flags = _QR | _RA | (_RD if query.header.rd else 0)
    option = _OPTION if _asks_by_edns(query) else b""
    head = _HEAD.pack(query.header.id, flags, 1, len(raw), 0, bool(option))
    return head + query.message[HEADER : query.end] + records + option


def with_name(query: Query, name: str) -> bytes:
    """Answer whose an address is; SERVFAIL where its network's name is none that DNS can carry."""
    record = _reply(query)
    try:
        record.add_answer(RR(query.question.qname, QTYPE.PTR, ttl=TTL, rdata=PTR(name)))
        return bytes(record.pack())
    except (DNSLabelError, UnicodeError):
        return failed(query)


def failed(query: Query) -> bytes:
    """Answer that nobody knows now (SERVFAIL), which asks the client to try elsewhere."""
    record = _reply(query)
    record.header.rcode = RCODE.SERVFAIL
    return bytes(record.pack())


def malformed(message: bytes) -> bytes | None:
    """Answer what `parse` did not take by FORMERR; None for an answer, which is answered never."""
    if len(message) < HEADER or _FLAGS.unpack_from(message, 2)[0] & _QR:
        return None
    (flags,) = _FLAGS.unpack_from(message, 2)
    code = RCODE.NOTIMP if flags & _OPCODE else RCODE.FORMERR
    return message[:2] + _FLAGS.pack(_QR | flags & _OPCODE | code) + bytes(8)


def _reply(query: Query) -> DNSRecord:
    header = DNSHeader(id=query.header.id, qr=1, aa=0, ra=1, rd=query.header.rd)
    record = DNSRecord(header, q=query.question)
    if _asks_by_edns(query):  # who does is answered by it (RFC 6891 6.1.1)
        record.add_ar(EDNS0(udp_len=LARGEST_QUERY))
    return record


def room(query: Query) -> int:
    """Return how many bytes the asker takes by UDP: by EDNS, or 512."""
    if not _asks_by_edns(query):
        return PLAIN
    return max(PLAIN, int(_ID.unpack_from(query.message, query.end + len(_OPT))[0]))


def _asks_by_edns(query: Query) -> bool:
    # Other records might stand before OPT in a query, but no resolver sends any.
    return query.message.startswith(_OPT, query.end) and len(query.message) > query.end + 5


def fitted(answer: bytes, query: Query) -> bytes:
    """Return an answer as UDP can carry it: whole, or cut after the question and marked (TC)."""
    if len(answer) <= room(query):
        return answer
    (flags,) = _FLAGS.unpack_from(answer, 2)
    counts = struct.pack(">4H", 1, 0, 0, 0)
    return answer[:2] + _FLAGS.pack(flags | _TC) + counts + query.message[HEADER : query.end]


def renumbered(message: bytes, number: int) -> bytes:
    """Return a message with another id."""
    return _ID.pack(number) + message[2:]


def answers(message: bytes, query: Query, number: int) -> bool:
    """Tell whether a message is an answer to the query that was sent under this id."""
    return (
        len(message) >= query.end
        and _ID.unpack_from(message)[0] == number
        and bool(_FLAGS.unpack_from(message, 2)[0] & _QR)
        and _FLAGS.unpack_from(message, 4)[0] == 1
        and message[HEADER : query.end].lower() == query.message[HEADER : query.end].lower()
    )


def truncated(message: bytes) -> bool:
    """Tell whether an answer was cut."""
    return bool(_FLAGS.unpack_from(message, 2)[0] & _TC)


def helpless(message: bytes) -> bool:
    """Tell whether a resolver says that it cannot answer (SERVFAIL, NOTIMP, REFUSED)."""
    return _FLAGS.unpack_from(message, 2)[0] & 0xF in {RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED}
