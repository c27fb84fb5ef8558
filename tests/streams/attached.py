"""What a client that is attached over the Engine API receives, read without its library."""

import socket
import struct
from typing import Any

from support.engines import Engine

OUTPUT = {"stdout": 1, "stderr": 1, "stream": 1}


def attach(engine: Engine, container: str, **more: int) -> socket.socket:
    """Attach to a container's output and return the raw connection."""
    wrapped: Any = engine.client.api.attach_socket(container, {**OUTPUT, **more})
    found = getattr(wrapped, "_sock", wrapped)
    assert isinstance(found, socket.socket)
    # docker-py would close it together with its response.
    return found.dup()


def frames(sock: socket.socket) -> bytes:
    """Read multiplexed frames until the end and return what they held."""
    with sock, sock.makefile("rb") as file:
        parts = []
        while header := file.read(8):
            parts.append(file.read(struct.unpack(">4xI", header)[0]))
    return b"".join(parts)
