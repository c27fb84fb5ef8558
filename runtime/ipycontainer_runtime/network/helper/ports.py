"""The published ports of one container: sockets that are held, and what comes to them passed on.

Where the kernel forwards, nothing comes but what it does not forward: connections of the machine
to itself, and all of them without a firewall of ours.
"""

import itertools
import socket
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ipycontainer_runtime.linux.loop import IN
from ipycontainer_runtime.network.helper.accepting import accepted
from ipycontainer_runtime.network.helper.binding import Binding, Key
from ipycontainer_runtime.network.helper.datagrams import Datagrams
from ipycontainer_runtime.network.helper.presence import Presence, Wanted
from ipycontainer_runtime.network.helper.streams import Relay, Stream

Connect = Callable[[int, str, int], socket.socket]
"""Make a socket of this kind and begin to connect it to an address and a port."""


class Group(NamedTuple):
    """What was bound for one that was wanted: one host port, on each of its addresses."""

    wanted: Wanted
    keys: tuple[Key, ...]

    def serves(self, wanted: Wanted) -> bool:
        """Tell whether it is what somebody wants, perhaps in other words."""
        port = self.keys[0][2]
        alike = _kind(self.wanted) == _kind(wanted)
        return alike and (wanted.first <= port <= wanted.last or not wanted.last)


def _kind(wanted: Wanted) -> object:
    return wanted.protocol, wanted.port, wanted.host_address


class Ports:
    """What one container has published."""

    def __init__(self, relay: Relay, connect: Connect) -> None:
        self._relay = relay
        self._connect = connect
        self._groups: list[Group] = []
        self._ports: dict[Key, _Streams | _Datagrams] = {}

    def held(self) -> Iterable[Key]:
        """Return what is held."""
        return self._ports.keys()

    def publish(self, presence: Presence, others: Iterable[Key]) -> list[Group]:
        """Hold what is wanted and nothing else; return it in the order wanted.

        `others` are the ports of other containers. What is held already stays as it is. Raises
        PortError, and then everything is as before.
        """
        kept: dict[Wanted, Group] = {}
        left: dict[object, list[Group]] = {}
        for group in self._groups:
            left.setdefault(_kind(group.wanted), []).append(group)
        for wanted in presence.wanted:
            alike = left.get(_kind(wanted), [])
            for group in alike:
                if wanted not in kept and group.serves(wanted):
                    kept[wanted] = group
                    alike.remove(group)
                    break
        new = self._bind([wanted for wanted in presence.wanted if wanted not in kept], others)
        for group in itertools.chain(*left.values()):
            for key in group.keys:
                self._ports.pop(key).close()
        for sockets in new.values():
            for key, sock in sockets.items():
                kind = _Streams if key[0] == "tcp" else _Datagrams
                self._ports[key] = kind(self._relay, sock, self._connect)
        made = {wanted: Group(wanted, tuple(sockets)) for wanted, sockets in new.items()}
        self._groups = [*kept.values(), *made.values()]
        for group in self._groups:
            for key in group.keys:
                self._ports[key].lead_to(target(presence, key), group.wanted.port)
        return [(kept | made)[wanted] for wanted in presence.wanted]

    def _bind(
        self, wanted: list[Wanted], others: Iterable[Key]
    ) -> dict[Wanted, dict[Key, socket.socket]]:
        """Bind all or nothing."""
        new: dict[Wanted, dict[Key, socket.socket]] = {}
        binding = Binding([*others, *self._ports])
        try:
            for one in wanted:
                new[one] = binding.bound(one)
        except BaseException:
            for sockets in new.values():
                for sock in sockets.values():
                    sock.close()
            raise
        return new

    def end(self) -> None:
        """End the connections under way; the ports stay."""
        for port in self._ports.values():
            port.end()

    def close(self) -> None:
        """Give all up, with the connections under way."""
        for port in self._ports.values():
            port.close()
        self._ports.clear()
        self._groups.clear()


def target(presence: Presence, key: Key) -> str:
    """Return the container's address that a host address leads to: of its kind if there is one."""
    if ":" in key[1]:
        return presence.address6 or presence.address
    return presence.address or presence.address6


class _Streams:
    """A listening TCP socket and its connections."""

    def __init__(self, relay: Relay, sock: socket.socket, connect: Connect) -> None:
        self._relay = relay
        self._loop = relay.loop
        self._sock = sock
        self._connect = connect
        self._target = ("", 0)
        self._streams: set[Stream] = set()
        self._loop.watch(sock.fileno(), IN, self._on_client)

    def lead_to(self, address: str, port: int) -> None:
        """Pass connections on to this address from now on; those under way stay."""
        self._target = (address, port)

    def _on_client(self, events: int) -> None:
        taken = accepted(self._sock)
        if taken is None:
            return
        client, _ = taken
        if self._relay.full:
            client.close()
            return
        try:
            container = self._connect(socket.SOCK_STREAM, *self._target)
        except OSError:
            client.close()
            return
        self._streams.add(Stream(self._relay, client, container, self._streams.discard))

    def end(self) -> None:
        """Reset the port's connections."""
        for stream in tuple(self._streams):
            stream.reset()

    def close(self) -> None:
        """Close the port and reset its connections."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self.end()


class _Datagrams:
    """A UDP socket and its clients."""

    def __init__(self, relay: Relay, sock: socket.socket, connect: Connect) -> None:
        self._target = ("", 0)
        self._datagrams = Datagrams(relay, sock, lambda: connect(socket.SOCK_DGRAM, *self._target))

    def lead_to(self, address: str, port: int) -> None:
        """Pass datagrams on to this address from now on."""
        if self._target != (address, port):
            self._target = (address, port)
            self._datagrams.forget_all()

    def end(self) -> None:
        """Let go of the port's clients."""
        self._datagrams.forget_all()

    def close(self) -> None:
        """Close the port."""
        self._datagrams.close()
