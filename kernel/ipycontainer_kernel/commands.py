"""What runs in a kernel's container, by the kind of kernel, and where its sockets are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipycontainer.failures import Failure
from ipycontainer_kernel.folders import (
    CONNECTION,
    CONTROL,
    INSIDE,
    PORTS,
    STEM,
    TMPFS,
    KernelFolder,
)
from ipycontainer_kernel.inject import prepare
from ipycontainer_kernel.settings import Settings

if TYPE_CHECKING:
    from ipycontainer.session import Session

# A socket that is made 0755 refuses every other user, and the client may be one.
_OPEN = ("/bin/sh", "-c", 'umask 0; exec "$0" "$@"')


@dataclass(frozen=True)
class Command:
    """What a kernel's container runs, and what of this machine it has."""

    argv: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    mounts: tuple[tuple[str, str, bool], ...] = ()
    """(source, target, read-only) of each folder or file."""
    tmpfs: dict[str, str] = field(default_factory=dict)
    """Options of each small file system of its own, by its place."""
    binds: tuple[str, ...] = ()
    """The same as Docker writes it."""
    ports: dict[str, Any] = field(default_factory=dict)
    """`PORT/tcp` to where it is published: docker-py's `port_bindings`."""


def command(
    session: Session, settings: Settings, folder: KernelFolder, extra: Sequence[str] = ()
) -> Command:
    """Return the command of a kernel whose sockets are in `folder`.

    `extra` are arguments that a client adds. Raises `Failure` where the image cannot be such a
    kernel.
    """
    mounts = (
        (str(folder.control), CONTROL, True),
        (str(folder.connection), CONNECTION, True),
    )
    tmpfs = {INSIDE: TMPFS}
    if settings.kind == "python":
        found = prepare(session.client, settings.reference, settings)
        argv = [*found.argv, CONNECTION, *extra]
        return Command(argv, found.env, mounts, tmpfs, tuple(found.binds))
    if settings.kind == "image" and settings.argv:
        return Command([*_OPEN, *settings.argv, *extra], mounts=mounts, tmpfs=tmpfs)
    raise Failure(f"a {settings.kind} kernel runs on this computer, not in a container of its own")


def unix_connection(settings: Settings, session: Any, *, stem: str) -> dict[str, Any]:
    """Return the connection of sockets below `stem`, signed by a jupyter_client `session`'s key."""
    return {
        "transport": "ipc",
        "ip": stem,
        **{name: number for number, name in enumerate(PORTS, 1)},
        "key": session.key,
        "signature_scheme": session.signature_scheme,
        "kernel_name": settings.name,
    }


def inside(connection: dict[str, Any]) -> dict[str, Any]:
    """Return the same connection as the container sees it, in JSON's types."""
    key = connection["key"]
    return {
        **connection,
        "ip": f"{INSIDE}/{STEM}",
        "key": key.decode() if isinstance(key, bytes) else key,
    }
