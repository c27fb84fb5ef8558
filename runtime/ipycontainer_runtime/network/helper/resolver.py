"""The resolver of one container: 127.0.0.11, port 53, in the container's own network namespace.

Who asks is known by the socket that the question came to, so no source address is believed.
"""

import contextlib
import socket
import struct
from collections.abc import Callable

from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.linux.loop import IN, OUT, Loop
from ipycontainer_runtime.network.helper import messages
from ipycontainer_runtime.network.helper.accepting import accepted
from ipycontainer_runtime.network.helper.directory import Directory
from ipycontainer_runtime.network.helper.messages import Query
from ipycontainer_runtime.network.helper.redirection import redirect
from ipycontainer_runtime.network.helper.upstream import Forwarder, Opened, opened_here

ADDRESS = "127.0.0.11"
PORT = 53
AT_ONCE = 32  # questions of one container, before it is another's turn
MOST_CLIENTS = 16  # connections of one container; the oldest goes for the next
MOST_UNSENT = 1 << 17  # bytes that wait for one client
SEND_BUFFER = 1 << 16  # bytes of one client that the kernel takes: without a bound, megabytes
_IP_FREEBIND = 15  # linux/in.h
_LENGTH = struct.Struct(">H")

Answer = Callable[[bytes], None]


def opened(netns: int) -> tuple[socket.socket, socket.socket]:
    """Return the sockets for UDP and TCP in a network namespace.

    Where the kernel cannot redirect to them they are port 53 itself. A DNS server in the container
    can share it then only where it allows that (SO_REUSEADDR for UDP, SO_REUSEPORT for TCP).
    """
    return within(netns, _opened)


def _opened() -> tuple[socket.socket, socket.socket]:
    udp, tcp = bound(0)
    try:
        redirect(ADDRESS, PORT, udp.getsockname()[1], tcp.getsockname()[1])
    except OSError:
        udp.close()
        tcp.close()
        return bound(PORT)
    return udp, tcp


def bound(port: int) -> tuple[socket.socket, socket.socket]:
    """Return sockets for UDP and TCP at this port in the calling thread's namespace, 0 for any."""
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            made.append(socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # The address may be bound before the loopback interface is up.
            made[-1].setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            made[-1].bind((ADDRESS, port))
        made[1].listen()
    except BaseException:
        for sock in made:
            sock.close()
        raise
    return made[0], made[1]


class Resolver:
    """Answers one container: from the directory what is ours, by the forwarder what is not."""

    def __init__(
        self,
        loop: Loop,
        container: str,
        sockets: tuple[socket.socket, socket.socket],
        directory: Directory,
        forwarder: Forwarder,
    ) -> None:
        self._loop = loop
        self._container = container
        self._udp, self._tcp = sockets
        self._directory = directory
        self._forwarder = forwarder
        self._clients: dict[_Client, None] = {}
        self._closed = False
        self.resolvers: Callable[[], tuple[str, ...]] = tuple
        """Whom to ask outside: nobody on internal networks."""
        self.opened: Opened = opened_here
        loop.watch(self._udp.fileno(), IN, self._on_datagrams)
        loop.watch(self._tcp.fileno(), IN, self._on_client)

    def _on_datagrams(self, events: int) -> None:
        for _ in range(AT_ONCE):
            try:
                message, sender = self._udp.recvfrom(messages.LARGEST_QUERY + 1)
            except OSError:  # no more of them, or an error of one that was sent
                return
            self._datagram(message, sender)

    def _datagram(self, message: bytes, sender: tuple[str, int]) -> None:
        def send(answer: bytes) -> None:
            if not self._closed:
                with contextlib.suppress(OSError):  # its buffer is full: as if it was lost
                    self._udp.sendto(answer, sender)

        query = messages.parse(message)
        if query is None:
            if answer := messages.malformed(message):
                send(answer)
            return
        fitted = query
        self._answer(query, False, lambda answer: send(messages.fitted(answer, fitted)))

    def _on_client(self, events: int) -> None:
        taken = accepted(self._tcp)
        if taken is None:
            return
        if len(self._clients) >= MOST_CLIENTS:
            self._drop_oldest()
        self._clients[_Client(self._loop, taken[0], self._stream, self._clients.pop)] = None

    def _drop_oldest(self) -> None:
        for client in self._clients:
            client.close()
            return

    def _stream(self, message: bytes, send: Answer) -> None:
        query = messages.parse(message)
        if query is not None:
            self._answer(query, True, send)
        elif answer := messages.malformed(message):
            send(answer)

    def _answer(self, query: Query, tcp: bool, send: Answer) -> None:
        own = self._own(query)
        if own is not None:
            send(own)
            return

        def done(answer: bytes | None) -> None:
            send(answer or messages.failed(query))

        resolvers = self.resolvers()
        self._forwarder.forward(
            self._container, query, resolvers, tcp=tcp, opened=self.opened, done=done
        )

    def _own(self, query: Query) -> bytes | None:
        """Return the answer to what is about our containers; None for everything else."""
        if query.question.qclass != messages.INTERNET:
            return None
        addresses = self._directory.addresses(self._container, query.name)
        if addresses is not None:
            return messages.with_addresses(query, addresses)
        if query.question.qtype == messages.POINTER:
            owner = self._directory.owner(self._container, query.name)
            return messages.with_name(query, owner) if owner else None
        return None

    def close(self) -> None:
        """Close the sockets, and give up what has been asked outside."""
        self._closed = True
        self._forwarder.abandon(self._container)
        for sock in (self._udp, self._tcp):
            self._loop.forget(sock.fileno())
            sock.close()
        for client in tuple(self._clients):
            client.close()


class _Client:
    """One connection: messages with their length before them (RFC 1035 4.2.2)."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        asked: Callable[[bytes, Answer], None],
        closed: "Callable[[_Client, None], None]",
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._asked = asked
        self._on_closed = closed
        self._received = bytearray()
        self._unsent = bytearray()
        self._open = True
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        loop.watch(sock.fileno(), IN, self._on_events)

    def _on_events(self, events: int) -> None:
        try:
            if events & OUT:
                self._flush()
            if events & ~OUT:
                self._read()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _read(self) -> None:
        received = self._sock.recv(1 << 12)
        if not received:
            self.close()
            return
        self._received += received
        while self._open and len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            if length > messages.LARGEST_QUERY:
                self.close()
                return
            end = _LENGTH.size + length
            if len(self._received) < end:
                return
            message = bytes(self._received[_LENGTH.size : end])
            del self._received[:end]
            self._asked(message, self._send)

    def _send(self, answer: bytes) -> None:
        if not self._open:
            return
        if len(self._unsent) > MOST_UNSENT:  # of a client that asks and does not read
            self.close()
            return
        self._unsent += _LENGTH.pack(len(answer)) + answer
        try:
            self._flush()
        except BlockingIOError:
            self._loop.watch(self._sock.fileno(), IN | OUT, self._on_events)
        except OSError:
            self.close()

    def _flush(self) -> None:
        while self._unsent:
            del self._unsent[: self._sock.send(self._unsent)]
        self._loop.watch(self._sock.fileno(), IN, self._on_events)

    def close(self) -> None:
        """Close it, once."""
        if self._open:
            self._open = False
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._on_closed(self, None)
