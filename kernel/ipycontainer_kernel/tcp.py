"""Kernels by TCP: on Docker's engine, on a remote one, and those that images bring.

Messages are signed, and not encrypted. So the ports are bound to loopback wherever the engine is on
this computer, and else to the one address by which the engine is reached. What would be mounted
from this computer is copied into the container before its start.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ipycontainer.failures import Failure
from ipycontainer_kernel.delivering import bound, deliver, is_local
from ipycontainer_kernel.folders import CONNECTION, PORTS

if TYPE_CHECKING:
    from ipycontainer.session import Session
    from ipycontainer_kernel.commands import Command
    from ipycontainer_kernel.settings import Settings

_FIRST = 47001  # in the container, where nobody else listens
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where a kernel listens in its container, and where its client finds that."""

    ip: str
    """The address of this side."""
    inner_ip: str
    numbers: tuple[int, ...]
    """The ports in the container, in the order of PORTS."""
    published: bool
    local: bool
    """Whether the engine is on this computer, and can mount its folders."""
    kept: tuple[int, ...] = ()
    """The ports of this side that clients have known since before a restart."""

    @property
    def told(self) -> str:
        """What a person should know."""
        without = "" if self.local else "; the notebook's folder is not there"
        return (
            f"its sockets are TCP ports of {self.ip}: messages are signed, and not encrypted; "
            f"ipycontainer's own engine needs none for Python, nor with --network none{without}"
        )

    def applied(self, command: Command) -> Command:
        """Return the command with its ports, and without what cannot be mounted."""
        binds = command.binds if self.local else ()
        return replace(command, mounts=(), tmpfs={}, binds=binds, ports=self._bindings())

    def _bindings(self) -> dict[str, tuple[str, int | None]]:
        """Return what is published in docker-py's form; None is a port of the engine's choice."""
        if not self.published:
            return {}
        outer = self.kept or (None,) * len(self.numbers)
        pairs = zip(self.numbers, outer, strict=True)
        return {f"{port}/tcp": (self.ip, number) for port, number in pairs}

    def inside(self, connection: dict[str, Any]) -> dict[str, Any]:
        """Return the connection as the kernel reads it."""
        ports = dict(zip(PORTS, self.numbers, strict=True))
        return {**connection, "transport": "tcp", "ip": self.inner_ip, **ports}

    def outside(
        self, session: Session, container: str, connection: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the connection of a kernel that was started, as its client uses it."""
        numbers = list(self.numbers)
        if self.published:
            known = session.api.inspect_container(container)["NetworkSettings"]["Ports"]
            numbers = [int(known[f"{port}/tcp"][0]["HostPort"]) for port in numbers]
        ports = dict(zip(PORTS, numbers, strict=True))
        return {**connection, "transport": "tcp", "ip": self.ip, **ports}

    def deliver(
        self, session: Session, container: str, connection: Path, binds: tuple[str, ...]
    ) -> None:
        """Copy the connection file into a container, and what a remote engine cannot mount."""
        files = {CONNECTION: connection}
        if not self.local:
            files |= bound(binds)
        deliver(session, container, files)


def ports_for(session: Session, settings: Settings, kept: tuple[int, ...] = ()) -> Ports | None:
    """Return how a kernel of this engine is reached by TCP; None where it has sockets.

    `kept` are this side's ports of before a restart. Raises `Failure` where neither can be had.
    """
    address = urlsplit(session.address)
    local = is_local(session)
    own = local and _may_enter(address.path) and bool(session.extensions())
    # Of the kernels that images bring some know no unix sockets (xeus ends with EINVAL).
    if own and (settings.kind != "image" or settings.network == "none"):
        return None
    if settings.network == "none":
        raise Failure(
            f"--network none: {session.address} is another engine than this user's own of"
            " ipycontainer, and only that reaches a kernel without a network; unset DOCKER_HOST"
        )
    if address.scheme not in ("unix", "tcp"):
        raise Failure(
            f"kernels cannot be reached over DOCKER_HOST={session.address}: use unix:// or tcp://"
        )
    if settings.network == "host":
        if not local:
            raise Failure("--network host: its loopback is the engine's, not this computer's")
        return Ports(_LOOPBACK, _LOOPBACK, kept or _free_ports(), published=False, local=True)
    ip = _LOOPBACK if local else _resolved(address.hostname or "", session.address)
    numbers = tuple(range(_FIRST, _FIRST + len(PORTS)))
    return Ports(ip, "0.0.0.0", numbers, published=True, local=local, kept=kept)  # noqa: S104 - of its own network


def _may_enter(path: str) -> bool:
    """Tell whether the containers of the engine at this socket are processes of this user."""
    if os.getuid() == 0:
        return True
    try:
        return os.stat(path).st_uid == os.getuid()
    except FileNotFoundError:  # it is started by who connects
        return True


def _resolved(host: str, address: str) -> str:
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise Failure(
            f"DOCKER_HOST={address}: {host!r} has no address: {error.strerror}"
        ) from error


def _free_ports() -> tuple[int, ...]:
    with ExitStack() as stack:
        found = []
        for _ in PORTS:
            sock = stack.enter_context(socket.socket())
            sock.bind((_LOOPBACK, 0))
            found.append(int(sock.getsockname()[1]))
        return tuple(found)
