"""Requests to an engine without a client's library, so that the reply is seen as it is."""

import json
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple

from support.hosts import Host

Make = Callable[..., str]
"""Makes a container of the words of its command and fields of the request; returns its id."""


class Reply(NamedTuple):
    """A whole reply; `body` is decoded where it is JSON."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        """The words of an error."""
        found = self.body["message"]
        assert isinstance(found, str)
        return found


class Connection(HTTPConnection):
    """One connection to an engine's socket."""

    def __init__(self, host: Host) -> None:
        super().__init__("localhost", timeout=60)
        self._host = host

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._host.socket))


def begin(
    host: Host, method: str, path: str, body: object = None, version: str = ""
) -> tuple[Connection, HTTPResponse]:
    """Send a request, read the headers of the reply, and return both to be read on.

    Without a `version` such as v1.41 the engine takes its own newest.
    """
    connection = Connection(host)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    data = json.dumps(body) if body is not None else None
    connection.request(method, f"/{version}{path}" if version else path, data, headers)
    return connection, connection.getresponse()


def call(host: Host, method: str, path: str, body: object = None, version: str = "") -> Reply:
    """Send a request and return the whole reply."""
    connection, response = begin(host, method, path, body, version)
    data = response.read()
    connection.close()
    kind = response.headers.get("Content-Type", "")
    return Reply(
        response.status,
        json.loads(data) if kind.startswith("application/json") and data else data,
        {name.lower(): value for name, value in response.headers.items()},
    )


def create(host: Host, image: str, *command: str, name: str = "", **fields: Any) -> str:
    """Create a container without a network and return its id."""
    settings = {"NetworkMode": "none", **fields.pop("HostConfig", {})}
    body = {"Image": image, "HostConfig": settings, **fields}
    if command:
        body["Cmd"] = list(command)
    reply = call(host, "POST", f"/containers/create?name={name}", body)
    assert reply.status == 201, reply.body
    found = reply.body["Id"]
    assert isinstance(found, str)
    return found


def start(host: Host, container: str) -> None:
    """Start a container."""
    reply = call(host, "POST", f"/containers/{container}/start")
    assert reply.status == 204, reply.body


def ended(host: Host, container: str) -> int:
    """Wait until a container has ended and return its exit code."""
    reply = call(host, "POST", f"/containers/{container}/wait")
    assert reply.status == 200, reply.body
    code = reply.body["StatusCode"]
    assert isinstance(code, int)
    return code


def state(host: Host, container: str) -> dict[str, Any]:
    """Return a container's State."""
    found = call(host, "GET", f"/containers/{container}/json").body["State"]
    assert isinstance(found, dict)
    return found


def logged(host: Host, container: str) -> bytes:
    """Return a container's output without frames."""
    found = host.client.api.logs(container)
    assert isinstance(found, bytes)
    return found


def remove(host: Host, container: str) -> None:
    """Remove a container, running or not."""
    reply = call(host, "DELETE", f"/containers/{container}?force=1")
    assert reply.status in (204, 404), reply.body
