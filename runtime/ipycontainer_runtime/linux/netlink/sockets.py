"""A socket of rtnetlink: requests by the batch, and what there is of a kind."""

import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from . import links
from .addresses import ADDRESS, ROUTE, Interface, Route, read_address, read_route
from .links import Link
from .messages import NUMBER, Message, packed, split

NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLMSG_DONE = 3
NLMSG_ERROR = 2
RTM_GETADDR = 22
RTM_GETLINK = 18
RTM_GETROUTE = 26
SIOCGIFINDEX = 0x8933

_LARGEST = 1 << 17


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
            b"".join(packed(message, number, NLM_F_ACK) for number, message in waiting.items())
        )
        self._sequence += len(messages)
        failed: OSError | None = None
        while waiting:
            for kind, number, body in split(self._sock.recv(_LARGEST)):
                if kind != NLMSG_ERROR or number not in waiting:
                    continue  # an answer to a request before this one, which was given up
                message = waiting.pop(number)
                error = -NUMBER.unpack_from(body)[0]
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
        return [links.read(body) for body in self.dump(RTM_GETLINK, links.BODY.pack(0, 0, 0, 0, 0))]

    def link(self, name: str) -> Link | None:
        """Return the interface of this name; None where there is none."""
        return next((link for link in self.links() if link.name == name), None)

    def addresses(self) -> list[tuple[int, Interface]]:
        """Return every address with its interface's index."""
        asked = self.dump(RTM_GETADDR, ADDRESS.pack(0, 0, 0, 0, 0))
        return [found for body in asked if (found := read_address(body))]

    def routes(self) -> list[Route]:
        """Return the routes of all tables but the kernel's local one."""
        return [
            route
            for body in self.dump(RTM_GETROUTE, ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))
            if (route := read_route(body))
        ]

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Yield the bodies of all that the kernel has of a kind."""
        self._sequence += 1
        number = self._sequence
        self._sock.send(packed(Message(kind, NLM_F_DUMP, body, ""), number, 0))
        while True:
            for answer, to, content in split(self._sock.recv(_LARGEST)):
                if to != number:
                    continue
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    error = -NUMBER.unpack_from(content)[0]
                    raise OSError(error, os.strerror(error))
                yield content


def opened() -> Netlink:
    """Return a socket in the calling thread's network namespace."""
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    sock.bind((0, 0))
    return Netlink(sock)
