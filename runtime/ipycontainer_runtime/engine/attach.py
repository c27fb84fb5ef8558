"""Clients' connections to a container's streams, before and after its start."""

import asyncio
import contextlib
import socket
from typing import NamedTuple

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.logs import LogRequest, Logs
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.shim import detach
from ipycontainer_runtime.shim.messages import AttachOptions


class Attachment(NamedTuple):
    """One client's connection, which has left HTTP, and what it is to carry."""

    sock: socket.socket
    options: AttachOptions


def detach_keys(text: str) -> bytes:
    """Return the bytes of `ctrl-p,ctrl-q`; refuse what names no keys, in Docker's words."""
    try:
        return detach.parse(text)
    except ValueError:
        raise InvalidParameter(
            f"Invalid detach keys ({text}) provided: write ctrl-a to ctrl-z or one character"
        ) from None


async def attach(container: Container, attachment: Attachment, logs: Logs) -> None:
    """Give a connection to the container: at once when it runs, else when it starts.

    `docker run` and `docker start -a` attach before they start, so that nothing is missed. Who
    wants the log alone of a container that does not run gets it here, for there is no shim.
    """
    if container.shim is not None:  # also while it is starting
        container.shim.attach(attachment.sock, attachment.options)
    elif attachment.options.stream:
        container.waiting.append(attachment)
    else:
        await _replay(container, attachment, logs)


async def _replay(container: Container, attachment: Attachment, logs: Logs) -> None:
    options = attachment.options
    with attachment.sock as sock:
        if not options.logs or not container.logged:
            return
        log = logs.open(container.id, LogRequest(options.stdout, options.stderr))
        with contextlib.suppress(ConnectionError):  # the client has left
            async for chunk in log.chunks():
                await asyncio.get_running_loop().sock_sendall(sock, chunk)
