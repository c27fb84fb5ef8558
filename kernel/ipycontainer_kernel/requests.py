"""The request that makes a kernel's container, and the pull that may come before it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipycontainer.failures import Failure
from ipycontainer.transfers import pull

if TYPE_CHECKING:
    from ipycontainer.session import Session
    from ipycontainer_kernel.commands import Command
    from ipycontainer_kernel.settings import Settings

NOTEBOOK: Final = "/notebook"
"""Where the notebook's folder is in the container."""
LEASE: Final = "io.ipycontainer.lease"


def container_config(
    session: Session, settings: Settings, command: Command, notebook: Path | None
) -> dict[str, Any]:
    """Return the body of the request that makes a kernel's container."""
    from docker.types import Mount

    api = session.api
    ours = bool(session.extensions())
    mounts = [Mount(target, source, "bind", ro) for source, target, ro in command.mounts]
    shown = notebook if settings.notebook != "none" else None
    if shown is not None:
        mounts.append(Mount(NOTEBOOK, str(shown), "bind", settings.notebook == "ro"))
    host = api.create_host_config(
        auto_remove=True,
        network_mode=settings.network or None,
        mem_limit=settings.memory or None,
        nano_cpus=None if settings.cpus is None else round(settings.cpus * 1e9),
        binds=[*settings.volumes, *command.binds] or None,
        mounts=mounts,
        tmpfs=command.tmpfs or None,
        port_bindings=command.ports or None,
        # A kernel reaps nobody's dead. Docker's engine may lack its init, ours cannot.
        init=ours or None,
    )
    if ours:
        host["Annotations"] = {LEASE: "true"}
    config = api.create_container_config(
        settings.reference,
        None,
        entrypoint=list(command.argv),
        stdin_open=True,
        user=settings.user or None,
        environment={**command.env, **settings.env} or None,
        working_dir=settings.workdir or (NOTEBOOK if shown is not None else None),
        ports=[tuple(port.split("/")) for port in command.ports] or None,
        host_config=host,
    )
    return dict(config)


def fetch(session: Session, settings: Settings) -> None:
    """Pull a kernel's image: the very one that it was installed with.

    Raises `Failure` where that cannot be had by a name.
    """
    digest = settings.digest
    if "@" in digest or not digest:
        pull(session, settings.reference, quiet=True)
        return
    raise Failure(
        f"image {settings.image} ({digest}), which this kernel was installed with, is not here any"
        f" more and has no name in a registry: `{session.program} kernel update"
        f" {settings.name or 'NAME'}` takes what {settings.image} is now"
    )
