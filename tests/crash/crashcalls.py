"""Requests to an engine that may end at any moment."""

import json
import socket
import struct
from http.client import HTTPConnection, HTTPResponse
from typing import Any

PATIENCE = 20


class Refusal(Exception):  # noqa: N818 - an answer that is expected, as those of the engine's own kinds
    """An engine's answer that is none of success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Waiting:
    """A reply whose body is read later."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    def finish(self) -> bytes:
        """Read the body to its end, close the connection, and return the body; raise Refusal."""
        try:
            body = self._response.read()
        finally:
            self._connection.close()
        if self._response.status >= 400:
            raise Refusal(self._response.status, json.loads(body)["message"])
        return body


def unframed(data: bytes) -> bytes:
    """Return what multiplexed frames hold."""
    parts, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">4xI", data, at)
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return b"".join(parts)


class Session:
    """One client of an engine, with a connection for each request; `images` can be pulled."""

    def __init__(self, path: str, images: list[str]) -> None:
        self._path = path
        self.images = images
        self._open: list[HTTPConnection] = []

    def begin(self, method: str, path: str, body: object = None) -> Waiting:
        """Send a request and read the head of its reply."""
        connection = HTTPConnection("localhost")
        self._open.append(connection)
        connection.sock = socket.socket(socket.AF_UNIX)
        # An engine that says nothing for so long has lost the request: that fails the test.
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(self._path)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if isinstance(body, bytes):
            headers, data = {"Content-Type": "application/x-tar"}, body
        else:
            data = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, data, headers)
        return Waiting(connection, connection.getresponse())

    def ask(
        self, method: str, path: str, body: object = None, allowed: tuple[int, ...] = ()
    ) -> bytes:
        """Return the body of the reply; Refusal for an error that is not `allowed`."""
        try:
            return self.begin(method, path, body).finish()
        except Refusal as error:
            if error.status in allowed:
                return b""
            raise

    def create(self, command: str, **settings: Any) -> str:
        """Create a container of the first image and return its id."""
        host = {"NetworkMode": "none", **settings}
        body = {"Image": self.images[0], "Cmd": ["sh", "-c", command], "HostConfig": host}
        found = json.loads(self.ask("POST", "/containers/create", body))["Id"]
        assert isinstance(found, str)
        return found

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open:
            connection.close()
