"""Run one program of an image that nobody trusts, and take no more from it than was asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ipycontainer.endings import start_failure
from ipycontainer.failures import CANNOT_EXECUTE, NOT_FOUND, Failure

if TYPE_CHECKING:
    from docker import DockerClient

LABEL = "org.ipycontainer.kernel.probe"
_MEMORY, _PIDS = "512m", 64
_STDERR = 1 << 14


class Ended(NamedTuple):
    """What came of it: `code` is the exit code; `found` is false where there is no such program."""

    code: int
    stdout: bytes
    stderr: bytes
    found: bool = True


def run(
    client: DockerClient,
    image: str,
    command: Sequence[str],
    *,
    seconds: float,
    limit: int,
    binds: Sequence[str] = (),
) -> Ended:
    """Run `command` in a container of `image` that has no network, and remove it.

    `limit` is in bytes of standard output. Raises Failure when it takes longer than `seconds`, or
    says more.
    """
    api = client.api
    made = api.create_container(
        image,
        [],
        entrypoint=list(command),
        labels={LABEL: "1"},
        host_config=api.create_host_config(
            network_mode="none",
            mem_limit=_MEMORY,
            pids_limit=_PIDS,
            binds=list(binds) or None,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
        ),
    )
    try:
        return _watched(client, made["Id"], image, seconds, limit)
    finally:
        api.remove_container(made["Id"], v=True, force=True)


def _watched(client: DockerClient, ident: str, image: str, seconds: float, limit: int) -> Ended:
    from docker.errors import APIError

    api = client.api
    parts = api.attach(ident, stdout=True, stderr=True, stream=True, demux=True)
    try:
        api.start(ident)
    except APIError as error:
        failure = start_failure(error)
        if failure.exit_code in (CANNOT_EXECUTE, NOT_FOUND):
            return Ended(failure.exit_code, b"", b"", found=False)
        raise failure from error
    late = threading.Event()
    timer = threading.Timer(seconds, _end, (client, ident, late))
    timer.start()
    try:
        stdout, stderr = _read(parts, image, limit)
        code = api.wait(ident)["StatusCode"]
    finally:
        timer.cancel()
    if late.is_set():
        raise Failure(f"python3 of image {image} said nothing for {seconds:g} s, and was ended")
    return Ended(code, stdout, stderr)


def _end(client: DockerClient, ident: str, late: threading.Event) -> None:
    from docker.errors import APIError

    late.set()
    try:
        client.api.kill(ident)
    except APIError as error:
        if error.status_code not in {404, 409}:  # it has just ended by itself
            raise


def _read(parts: object, image: str, limit: int) -> tuple[bytes, bytes]:
    stdout, stderr = bytearray(), bytearray()
    for out, err in parts:  # type: ignore[attr-defined] # docker-py's stubs know no demux
        stdout += out or b""
        stderr += (err or b"")[: _STDERR - len(stderr)]
        if len(stdout) > limit:
            raise Failure(f"python3 of image {image} says more than {limit:,} bytes of itself")
    return bytes(stdout), bytes(stderr)
