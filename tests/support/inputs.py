"""What our engine tells of who waits for input, one change at a time."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Any

from support import calls
from support.hosts import Host


def hijacked(host: Host, path: str, body: str = "{}") -> socket.socket:
    """Post and return the raw connection that comes of it, once the engine has answered."""
    sock = posted(host, path, body)
    read_upgrade(sock)
    return sock


def posted(host: Host, path: str, body: str = "{}") -> socket.socket:
    """Post, and return the connection with the answer still to be read."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(str(host.socket))
    head = f"POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    sock.sendall((head + typed).encode())
    return sock


def read_upgrade(sock: socket.socket) -> None:
    """Read the answer that makes a connection a raw one."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, answer
        answer += byte
    assert b" 101 " in answer, answer


def typing(host: Host, container: str) -> socket.socket:
    """Attach to a container's input and output."""
    return hijacked(host, f"/containers/{container}/attach?stream=1&stdin=1&stdout=1")


class Listener:
    """Listens to the input of a container, or of an exec; nothing is missed from here on."""

    def __init__(self, host: Host, name: str, kind: str = "containers") -> None:
        path = f"/ipycontainer/{kind}/{name}/input"
        self._connection, self._response = calls.begin(host, "GET", path)
        assert self._response.status == 200, self._response.read()

    def change(self) -> dict[str, Any] | None:
        """Wait for the next change; None at the end."""
        line = self._response.readline()
        return dict(json.loads(line)) if line else None

    def question(self) -> dict[str, Any]:
        """Wait until input is wanted; fails the test when the process ends before."""
        while (change := self.change()) is not None:
            if change["wanted"]:
                return change
        raise AssertionError("the process has ended and has not asked")

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
