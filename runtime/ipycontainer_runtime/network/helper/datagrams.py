"""Datagrams to a published UDP port: each client has a socket of its own to the container."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable

from ipycontainer_runtime.linux.loop import IN
from ipycontainer_runtime.network.helper.streams import Relay

IDLE_SECONDS = 90.0  # after which a client is forgotten: docker-proxy's
MOST_CLIENTS = 1024  # of one port; who has been quiet longest goes
AT_ONCE = 32
_LARGEST = 65535
_IP_PKTINFO = 8  # linux/in.h
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50  # linux/in6.h
_ANCILLARY = 64

# A client's address, and what it sent to, from where it expects the answer.
Client = tuple[tuple[str, int], bytes]


class Datagrams:
    """Passes on what comes to one UDP socket, and the answers back to each client."""

    def __init__(
        self, relay: Relay, sock: socket.socket, connect: Callable[[], socket.socket]
    ) -> None:
        sock.setblocking(False)
        self._relay = relay
        self._loop = loop = relay.loop
        self._sock = sock
        self._connect = connect
        self._clients: dict[Client, socket.socket] = {}
        self._used: dict[Client, float] = {}
        self._six = sock.family == socket.AF_INET6
        if self._six:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        loop.watch(sock.fileno(), IN, self._on_datagrams)

    def _on_datagrams(self, events: int) -> None:
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, sender = self._sock.recvmsg(_LARGEST, _ANCILLARY)
            except OSError:  # no more of them, or an error of one that was sent
                return
            client = (sender, self._addressed(ancillary))
            with contextlib.suppress(OSError):  # refused or no room: as if it was lost
                self._socket(client).send(data)

    def _addressed(self, ancillary: list[tuple[int, int, bytes]]) -> bytes:
        """Return what makes an answer come from the address that was asked."""
        for _, kind, data in ancillary:
            if self._six and kind == _IPV6_PKTINFO:
                return data
            if not self._six and kind == _IP_PKTINFO:
                return bytes(4) + data[8:12] + bytes(4)
        return b""

    def _socket(self, client: Client) -> socket.socket:
        self._used.pop(client, None)  # so that the first is who was quiet longest
        self._used[client] = time.monotonic()
        if sock := self._clients.get(client):
            return sock
        try:
            if self._clients and (len(self._clients) >= MOST_CLIENTS or self._relay.full):
                self._forget(next(iter(self._used)))
            if self._relay.full:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            sock = self._connect()
        except OSError:
            del self._used[client]
            raise
        if not self._clients:
            self._loop.call_after(IDLE_SECONDS, self._expire)
        self._relay.begin()
        self._clients[client] = sock
        self._loop.watch(sock.fileno(), IN, lambda events: self._answer(client, sock))
        return sock

    def _answer(self, client: Client, sock: socket.socket) -> None:
        address, addressed = client
        level, kind = (
            (socket.IPPROTO_IPV6, _IPV6_PKTINFO) if self._six else (socket.IPPROTO_IP, _IP_PKTINFO)
        )
        for _ in range(AT_ONCE):
            try:
                data = sock.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # the container does not listen: heard once, as an ICMP message
                return
            with contextlib.suppress(OSError):
                self._sock.sendmsg(
                    [data], [(level, kind, addressed)] if addressed else [], 0, address
                )

    def _expire(self) -> None:
        now = time.monotonic()
        for client, used in tuple(self._used.items()):
            if used + IDLE_SECONDS > now:
                self._loop.call_after(used + IDLE_SECONDS - now, self._expire)
                return
            self._forget(client)

    def _forget(self, client: Client) -> None:
        sock = self._clients.pop(client)
        del self._used[client]
        self._loop.forget(sock.fileno())
        sock.close()
        self._relay.end()

    def forget_all(self) -> None:
        """Let every client begin anew, as when the container has another address."""
        for client in tuple(self._clients):
            self._forget(client)

    def close(self) -> None:
        """Close all sockets."""
        self._loop.call_off(self._expire)
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self.forget_all()
