"""Run one program of an image that nobody trusts, and take no more from it than was asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ipycontainer.attached import attach
from ipycontainer.endings import start_failure
from ipycontainer.exits import Exit
from ipycontainer.failures import CANNOT_EXECUTE, NOT_FOUND, Failure
from ipycontainer.sandbox.sessions import own_session
from ipycontainer.streams import Relay
from ipycontainer.surface import STDOUT
from ipycontainer_kernel.delivering import bound, deliver, is_local
from ipycontainer_kernel.listener import Listener
from ipycontainer_kernel.requests import LEASE

if TYPE_CHECKING:
    from docker import DockerClient

    from ipycontainer.session import Session

LABEL = "org.ipycontainer.kernel.probe"
_MEMORY, _PIDS = "512m", 64
_STDERR = 1 << 14
_GONE = {404, 409}  # 409: its own removal is under way


class Ended(NamedTuple):
    """What came of it: `code` is the exit code; `found` is false where there is no such program."""

    code: int
    stdout: bytes
    stderr: bytes
    found: bool = True


@dataclass(frozen=True)
class Trial:
    """An image whose programs run as its kernel does: with those variables, as that user."""

    client: DockerClient
    image: str
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""

    def run(
        self, command: Sequence[str], *, seconds: float, limit: int, binds: Sequence[str] = ()
    ) -> Ended:
        """Run `command` in a container of the image that has no network, and remove it.

        It goes with this process too, as a kernel's does. `limit` is in bytes of standard output.
        Raises Failure when it takes longer than `seconds`, or says more.
        """
        return _run(self, command, seconds, limit, binds)


def _run(
    trial: Trial, command: Sequence[str], seconds: float, limit: int, binds: Sequence[str]
) -> Ended:
    session = own_session(trial.client)
    api = session.api
    local = is_local(session)
    host = api.create_host_config(
        auto_remove=True,
        network_mode="none",
        mem_limit=_MEMORY,
        pids_limit=_PIDS,
        binds=list(binds) or None if local else None,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=local or not binds,  # nothing is copied into one that is
    )
    if session.extensions():
        host["Annotations"] = {LEASE: "true"}
    made = api.create_container(
        trial.image,
        [],
        entrypoint=list(command),
        environment={**trial.env, "PYTHONINSPECT": ""},  # else Python waits for lines at its end
        user=trial.user or None,
        labels={LABEL: "1"},
        stdin_open=True,  # what is on lease has its input held open
        host_config=host,
    )
    try:
        if binds and not local:
            deliver(session, made["Id"], bound(binds))
        return _watched(session, made["Id"], trial.image, seconds, limit)
    finally:
        _remove(session, made["Id"])


def _watched(session: Session, ident: str, image: str, seconds: float, limit: int) -> Ended:
    from docker.errors import APIError

    said = _Said(image, limit)
    late = threading.Event()
    with ExitStack() as undo:
        connection = attach(session, ident, stdin=1, stdout=1, stderr=1)
        undo.callback(connection.close)
        exit_ = Exit(session, ident, "next-exit")
        undo.callback(exit_.close)
        try:
            session.api.start(ident)
        except APIError as error:
            failure = start_failure(error)
            if failure.exit_code in (CANNOT_EXECUTE, NOT_FOUND):
                return Ended(failure.exit_code, b"", b"", found=False)
            raise failure from error
        timer = threading.Timer(seconds, _end, (session, ident, late))
        undo.callback(timer.cancel)
        timer.start()
        relay = Relay(connection, Listener(said.hear), None, tty=False, beside=exit_)
        undo.callback(relay.close)
        relay.run()
        code = exit_.ending(relay).code
    if late.is_set():
        raise Failure(f"python3 of image {image} said nothing for {seconds:g} s, and was ended")
    return Ended(code, bytes(said.stdout), bytes(said.stderr))


def _end(session: Session, ident: str, late: threading.Event) -> None:
    from docker.errors import APIError

    late.set()
    try:
        session.api.kill(ident)
    except APIError as error:
        if error.status_code not in _GONE:  # it has just ended by itself
            raise


def _remove(session: Session, ident: str) -> None:
    from docker.errors import APIError, NotFound

    try:
        session.api.remove_container(ident, v=True, force=True)
    except APIError as error:
        if error.status_code not in _GONE:
            raise
        with suppress(NotFound):
            session.api.wait(ident, condition="removed")


class _Said:
    """Keeps what the program says, up to its limits."""

    def __init__(self, image: str, limit: int) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self._image = image
        self._limit = limit

    def hear(self, stream: int, data: memoryview) -> None:
        """Take some of it; raises Failure when it is too much."""
        if stream == STDOUT:
            self.stdout += data
        else:
            self.stderr += data[: _STDERR - len(self.stderr)]
        if len(self.stdout) > self._limit:
            raise Failure(
                f"python3 of image {self._image} says more than {self._limit:,} bytes of itself"
            )
