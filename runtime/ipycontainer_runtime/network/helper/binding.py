"""Which host port a published one gets: bound here, so that it is nobody else's."""

import errno
import itertools
import os
import socket
from collections.abc import Iterable

from ipycontainer_runtime.network.helper.presence import Wanted

BACKLOG = 4096
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a port is published to all unless one is named
EPHEMERAL = (49153, 65535)  # Docker's, where the kernel does not say
_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

Key = tuple[str, str, int]
"""Protocol, host address, host port."""


class PortError(Exception):
    """A port that cannot be had; `taken` when somebody has it already."""

    def __init__(self, message: str, *, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken


class Binding:
    """Binds what is wanted, beside what is `held` already."""

    def __init__(self, held: Iterable[Key]) -> None:
        self._held: dict[object, set[str]] = {}
        for key in held:
            self._hold(key)

    def _hold(self, key: Key) -> None:
        self._held.setdefault(_family(key), set()).add(key[1])

    def bound(self, wanted: Wanted) -> dict[Key, socket.socket]:
        """Return sockets that have one host port on each address; raises PortError."""
        if wanted.protocol not in _KINDS:
            raise PortError(
                f"cannot publish port {wanted.port}/{wanted.protocol}: only tcp and udp can be; "
                "leave it out"
            )
        refused: PortError | None = None
        for port in self._candidates(wanted):
            try:
                return self._at(wanted, port)
            except PortError as error:
                if not error.taken:
                    raise
                refused = error
        if refused is None or wanted.first != wanted.last or not wanted.first:
            raise PortError("all ports are allocated", taken=True) from refused
        raise refused

    def _candidates(self, wanted: Wanted) -> Iterable[int]:
        if wanted.first or wanted.last:
            return range(wanted.first, wanted.last + 1)
        first, last = _ephemeral()
        # Not always the lowest: a client may still have the last container's address in mind.
        start = first + int.from_bytes(os.urandom(2), "big") % (last - first + 1)
        return itertools.chain(range(start, last + 1), range(first, start))

    def _at(self, wanted: Wanted, port: int) -> dict[Key, socket.socket]:
        made: dict[Key, socket.socket] = {}
        try:
            for address in _addresses(wanted.host_address):
                key = (wanted.protocol, address, port)
                if self._clashes(key):
                    raise PortError(
                        f"Bind for {_shown(address, port)} failed: port is already allocated",
                        taken=True,
                    )
                made[key] = _listening(*key)
        except BaseException:
            for sock in made.values():
                sock.close()
            raise
        for key in made:
            self._hold(key)
        return made

    def _clashes(self, key: Key) -> bool:
        held = self._held.get(_family(key), set())
        everywhere = {key[1], *held} & {*EVERYWHERE}
        return bool(held and everywhere) or key[1] in held


def _family(key: Key) -> object:
    """Return what is the same of two ports that may clash."""
    return key[0], key[2], ":" in key[1]


def _addresses(host_address: str) -> tuple[str, ...]:
    if host_address:
        return (host_address,)
    return EVERYWHERE if os.path.exists("/proc/net/if_inet6") else EVERYWHERE[:1]


def _listening(protocol: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, _KINDS[protocol] | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise PortError(f"cannot publish port {port}: {error.strerror}") from error
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if protocol == "tcp":
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refusal(error, protocol, address, port) from error
    return sock


def _refusal(error: OSError, protocol: str, address: str, port: int) -> PortError:
    shown = _shown(address, port)
    if error.errno == errno.EADDRINUSE:
        return PortError(f"listen {protocol} {shown}: bind: address already in use", taken=True)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PortError(
            f"listen {protocol} {shown}: bind: permission denied; ports below {_unprivileged()} "
            "are for root: publish a higher one, or allow it by "
            f"`sysctl net.ipv4.ip_unprivileged_port_start={port}`"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return PortError(
            f"listen {protocol} {shown}: bind: cannot assign requested address; {address} is no "
            "address of this machine, see `ip address`"
        )
    return PortError(f"listen {protocol} {shown}: bind: {error.strerror}")


def _shown(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _ephemeral() -> tuple[int, int]:
    try:
        with open(_RANGE) as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return EPHEMERAL
    return first, last


def _unprivileged() -> int:
    try:
        with open(_UNPRIVILEGED) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024
