"""HTTP by hand, where a client library would hide what is tested."""

import json
import socket
from typing import Any


def request(path: str, method: str = "GET") -> bytes:
    """Return a request after whose reply the engine closes."""
    return f"{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode()


def ask(sock: socket.socket, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Send one request and read its whole reply; (0, what came) when it ended early."""
    sock.sendall(request(path, method))
    return parse(read_all(sock))


def read_all(sock: socket.socket) -> bytes:
    """Read until the other side closes."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def parse(reply: bytes) -> tuple[int, bytes]:
    """Return status and body of a reply; (0, reply) when there is no whole head."""
    head, end, body = reply.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body) if end else (0, reply)


def message(body: bytes) -> str:
    """Return the message of an error's body."""
    told: dict[str, Any] = json.loads(body)
    return str(told["message"])
