"""Clients' connections to a container's streams, before and after its start."""

import socket
from typing import NamedTuple

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.shim import detach
from ipycontainer_runtime.shim.client import AttachOptions


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


def attach(container: Container, attachment: Attachment) -> None:
    """Give a connection to the container: at once when it runs, else when it starts.

    `docker run` and `docker start -a` attach before they start, so that nothing is missed.
    """
    if container.state.running and container.shim is not None:
        container.shim.attach(attachment.sock, attachment.options)
    else:
        container.waiting.append(attachment)
