"""The container of a sandbox: made with its limits, held open by one connection, gone with it.

Its first process does nothing but read its standard input, which one connection of the notebook's
process holds open (`StdinOnce`), and the container removes itself when it ends. So it is gone
when the sandbox is closed or collected, and also when that process is killed or loses the engine.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..attached import attach
from ..endings import start_failure
from ..failures import CANNOT_EXECUTE, NOT_FOUND, Failure
from ..transfers import pull

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..session import Session
    from ..streams import Connection

MEMORY = "1g"
PIDS = 256
_SHELL = "while read -r _; do :; done"
_PYTHON = "import sys\nwhile sys.stdin.buffer.read(65536): pass"
_KEEPERS = (["/bin/sh", "-c", _SHELL], ["python3", "-c", _PYTHON], ["cat"])


@dataclass(frozen=True)
class Limits:
    """What a sandbox may do; the defaults are those of code that nobody has read.

    No network, a gigabyte of memory, 256 processes, and no privileges beyond those it begins with.
    """

    memory: str = MEMORY
    cpus: float | None = None
    pids: int = PIDS
    network: str = "none"
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    volumes: Sequence[str] = ()


class Kept:
    """A container that runs as long as this connection is open."""

    def __init__(self, session: Session, image: str, limits: Limits, name: str | None) -> None:
        self._session = session
        self._owner = os.getpid()
        self.shell = True
        """Whether it has a /bin/sh."""
        for keeper in _KEEPERS:
            self.id = _create(session, image, limits, name, keeper)
            if self._begin():
                return
            self.shell = False
        raise Failure(
            f"image {image} has none of /bin/sh, python3 and cat, one of which must hold a sandbox"
            " open: use an image that has one"
        )

    def _begin(self) -> bool:
        """Start it; False when the image has no such program."""
        from docker.errors import APIError

        self._connection: Connection = attach(self._session, self.id, stdin=1)
        try:
            self._session.api.start(self.id)
        except APIError as error:
            self.remove()
            failure = start_failure(error)
            if failure.exit_code in (CANNOT_EXECUTE, NOT_FOUND):
                return False
            raise failure from error
        except BaseException:
            self._connection.close()
            raise
        return True

    def let_go(self) -> None:
        """End the connection, and so the container; a collection of garbage calls it anywhere.

        So it takes no lock and sends no request. A fork of the process leaves it alone: the
        connection is its parent's.
        """
        if os.getpid() == self._owner:
            with suppress(OSError):  # the container has ended it
                self._connection.socket.shutdown(socket.SHUT_RDWR)

    def remove(self) -> None:
        """Let it go, and remove the container if it is still there."""
        from docker.errors import APIError

        self.let_go()
        self._connection.close()
        try:
            self._session.api.remove_container(self.id, force=True)
        except APIError as error:
            if error.status_code not in {404, 409}:  # 409: its own removal is under way
                raise


def _create(
    session: Session, image: str, limits: Limits, name: str | None, keeper: list[str]
) -> str:
    from docker.errors import ImageNotFound

    api = session.api
    host = api.create_host_config(
        auto_remove=True,
        network_mode=limits.network,
        mem_limit=limits.memory,
        nano_cpus=None if limits.cpus is None else round(limits.cpus * 1e9),
        pids_limit=limits.pids,
        binds=[_absolute(volume) for volume in limits.volumes] or None,
        security_opt=["no-new-privileges"],
        # The keeper collects nobody's dead. Docker's engine may lack its init, ours cannot.
        init=bool(session.extensions()) or None,
    )
    config = api.create_container_config(
        image,
        None,
        entrypoint=keeper,
        stdin_open=True,
        user=limits.user,
        environment=dict(limits.env) or None,
        working_dir=limits.cwd,
        host_config=host,
    )
    with session.naming(image):
        try:
            made = api.create_container_from_config(config, name)
        except ImageNotFound:
            session.surface.note(f"Unable to find image '{image}' here; pulling it")
            pull(session, image, aside=True)
            made = api.create_container_from_config(config, name)
    for warning in made.get("Warnings") or ():
        session.warn(warning)
    return str(made["Id"])


def _absolute(volume: str) -> str:
    source, colon, rest = volume.partition(":")
    if not colon:
        raise Failure(f"volume {volume!r}: write FOLDER:TARGET, or FOLDER:TARGET:ro")
    return f"{os.path.abspath(os.path.expanduser(source))}:{rest}"


def config_changes(image: Mapping[str, Any]) -> list[str]:
    """Return what makes a commit's command the image's again, instead of the keeper."""
    import json

    config = image.get("Config") or {}
    return [
        f"{word} {json.dumps(config.get(key) or [])}"
        for word, key in (("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd"))
    ]
