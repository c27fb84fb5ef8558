"""What the engine, the spawner, a shim, its nursery and the helper say to each other.

A message is a JSON object: four bytes of length, big-endian, then the text; its key "fds" counts
the descriptors that travel with its first byte (SCM_RIGHTS). Requests carry a number "id" that the
reply repeats; a message without one is an event, or asks for no reply.

Both ends use `Channel`: shim and helper in their epoll loops, the engine in asyncio. This module
is loaded by the spawner, which counts each millisecond and kilobyte, so it imports only what is
small.
"""

import array
import os
import socket
import struct
from collections import deque
from json import encoder
from json.decoder import JSONDecoder
from socket import SocketType
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

LIMIT = 8 << 20  # bytes of one message; the kernel takes 2 MB of arguments and environment
MOST_FDS = 16
SOCKET_NAME = "shim.sock"
_READ_SIZE = 1 << 16
# The C parts of `json`, without the Python around them: what a process touches it no longer shares
# with the other shims, and that Python alone is some 400 KB of pages.
# typeshed leaves both out.
_scan = JSONDecoder().scan_once  # type: ignore[attr-defined] # there, but not in its stubs
_pieces = encoder.c_make_encoder(  # type: ignore[attr-defined] # as above
    None, str, encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)
_LENGTH = struct.Struct(">I")
_ANCILLARY = socket.CMSG_SPACE(MOST_FDS * array.array("i").itemsize)


class ProtocolError(Exception):
    """The other end sent what is no message, or one that is too long."""


def encode(message: Message) -> bytes:
    """Return the bytes of a message; raises ProtocolError past LIMIT."""
    text = to_json(message)
    if len(text) > LIMIT:
        raise ProtocolError(f"a message of {len(text)} bytes is over the limit of {LIMIT}")
    return _LENGTH.pack(len(text)) + text


def to_json(message: Message) -> bytes:
    """Return a message as compact JSON."""
    return "".join(_pieces(message, 0)).encode()


def from_json(text: "bytes | bytearray") -> Message:
    """Return what JSON stands for; raises ProtocolError when it is none."""
    try:
        message: Message = _scan(text.decode(), 0)[0]
    except (ValueError, StopIteration) as error:
        raise ProtocolError(f"not a message: {bytes(text[:60])!r}") from error
    return message


class Channel:
    """One end of a stream socket that carries messages; never blocks.

    `receive` when the socket is readable, `flush` when it is writable and `pending` is true.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._incoming = bytearray()
        self._fds: deque[int] = deque()
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, to be watched."""
        return self.sock.fileno()

    @property
    def pending(self) -> bool:
        """Whether something waits for the socket to become writable."""
        return bool(self._outgoing)

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message, or queue what the socket does not take.

        The descriptors are duplicated when they must wait, so the caller may close its own.
        Raises OSError when the other end is gone.
        """
        if fds:
            message = {**message, "fds": len(fds)}
        self.send_encoded(encode(message), fds)

    def send_encoded(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send what `encode` made, whose "fds" must be right already."""
        view = memoryview(data)
        if not self._outgoing:
            sent = self._send_some(view, fds)
            if sent == len(view):
                return
            view, fds = view[sent:], (() if sent else fds)
        self._outgoing.append((view, [os.dup(fd) for fd in fds]))

    def flush(self) -> None:
        """Send what was queued, as far as the socket takes it."""
        while self._outgoing:
            view, fds = self._outgoing[0]
            sent = self._send_some(view, tuple(fds))
            if not sent:
                return
            for fd in fds:
                os.close(fd)
            if sent == len(view):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = (view[sent:], [])

    def _send_some(self, view: memoryview, fds: tuple[int, ...]) -> int:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            return self.sock.sendmsg([view], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def receive(self) -> "list[tuple[Message, list[int]]] | None":
        """Return the messages that have come whole, each with its descriptors; None at the end.

        The descriptors are the caller's to close. Raises OSError or ProtocolError.
        """
        try:
            data, ancillary, flags, _ = self.sock.recvmsg(
                _READ_SIZE, _ANCILLARY, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return []
        self._fds.extend(received_fds(ancillary))
        if flags & socket.MSG_CTRUNC:
            raise ProtocolError(f"a message came with more than {MOST_FDS} descriptors")
        if not data:
            return None
        self._incoming += data
        return list(iter(self._take, None))

    def _take(self) -> "tuple[Message, list[int]] | None":
        if len(self._incoming) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._incoming)
        if length > LIMIT:
            raise ProtocolError(f"a message of {length} bytes is over the limit of {LIMIT}")
        end = _LENGTH.size + length
        if len(self._incoming) < end:
            return None
        message = from_json(self._incoming[_LENGTH.size : end])
        del self._incoming[:end]
        count = message.get("fds", 0)
        if count > len(self._fds):
            raise ProtocolError(f"a message promised {count} descriptors and {len(self._fds)} came")
        return message, [self._fds.popleft() for _ in range(count)]

    def close(self) -> None:
        """Close the socket and every descriptor that nobody took."""
        self.sock.close()
        for fd in self._fds:
            os.close(fd)
        for _, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._fds.clear()
        self._outgoing.clear()


def received_fds(ancillary: "list[tuple[int, int, bytes]]") -> list[int]:
    """Return the descriptors in what recvmsg gave as ancillary data."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def send_packet(sock: SocketType, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send one message as one packet of a SOCK_SEQPACKET socket."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([to_json(message)], rights)


def receive_packet(sock: SocketType, flags: int = 0) -> "tuple[Message, list[int]] | None":
    """Wait for one packet with its descriptors; None when the other end is closed.

    A packet is a small message (a path, a pid, an error): 64 KB at most.
    """
    data, ancillary, _, _ = sock.recvmsg(1 << 16, _ANCILLARY, flags | socket.MSG_CMSG_CLOEXEC)
    fds = received_fds(ancillary)
    return (from_json(data), fds) if data else None
