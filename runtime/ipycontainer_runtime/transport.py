"""docker-py's way to our engine: every connection starts the engine if it has left meanwhile."""

import http.client
import socket
from typing import Any

import requests.adapters
import urllib3.connection
import urllib3.connectionpool

from ipycontainer_runtime import activation
from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.paths import Paths

# More than the head and body of any request but an upload's.
_RESEND_LIMIT = 1 << 20
# Kept open between requests; threads beyond them open their own.
_CONNECTIONS = 10


class EngineConnection(urllib3.connection.HTTPConnection):
    """One connection to the engine; `first` is one that activation has opened already."""

    def __init__(self, paths: Paths, first: socket.socket | None = None) -> None:
        super().__init__("localhost", timeout=None)
        self._paths = paths
        # Opened a while ago perhaps, so it counts as one that was used before.
        self.sock = first
        self._resendable: list[bytes] | None = None

    def connect(self) -> None:
        """Connect to the engine, starting it if need be."""
        self.sock = activation.activate(self._paths)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        """Begin a request; one on a connection used before is kept until it is sent."""
        self._resendable = None if self.sock is None else []
        super().putrequest(*args, **kwargs)

    def send(self, data: Any) -> None:
        """Send part of a request, again from its start if the engine left just before it.

        An engine that leaves shuts its idle connections for reading first, so that sending
        fails: nothing of the request was read, and the next engine may have it whole.
        """
        if self._resendable is None or not self._remember(data):
            super().send(data)
            return
        try:
            super().send(data)
        except (BrokenPipeError, ConnectionResetError):
            self._send_again()

    def _send_again(self) -> None:
        assert self._resendable is not None
        parts, self._resendable = self._resendable, None
        self.sock.close()
        self.connect()
        for part in parts:
            super().send(part)

    def _remember(self, data: Any) -> bool:
        assert self._resendable is not None
        if isinstance(data, bytes):
            self._resendable.append(data)
            if sum(map(len, self._resendable)) <= _RESEND_LIMIT:
                return True
        self._resendable = None
        return False

    def getresponse(self) -> Any:
        """Read the reply; an engine that ended instead has left the reason in its log.

        The kernel tells a reset, and not an end, when the other side of a unix socket closed it
        without reading all that was sent: then too the next engine may have the request.
        """
        if self._resendable is not None:
            try:
                self.sock.recv(1, socket.MSG_PEEK)
            except ConnectionResetError:
                self._send_again()
        try:
            return super().getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError) as error:
            raise Unavailable(
                f"the engine ended without an answer: {activation.last_words(self._paths)}"
            ) from error


class EnginePool(urllib3.connectionpool.HTTPConnectionPool):
    """Connections to one engine."""

    def __init__(self, paths: Paths, first: socket.socket | None, maxsize: int) -> None:
        super().__init__("localhost", timeout=None, maxsize=maxsize)
        self._paths = paths
        self._first = first

    def _new_conn(self) -> EngineConnection:
        first, self._first = self._first, None
        return EngineConnection(self._paths, first)


class EngineAdapter(requests.adapters.HTTPAdapter):
    """Takes the place of docker-py's adapter for unix sockets."""

    def __init__(self, paths: Paths, first: socket.socket | None = None) -> None:
        super().__init__()
        self._pool = EnginePool(paths, first, _CONNECTIONS)

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> EnginePool:
        """Return the one pool: there is one engine behind every URL."""
        return self._pool

    def request_url(self, request: Any, _proxies: Any) -> str:
        """Return the path alone: there is no host, and no proxy on the way."""
        return str(request.path_url)

    def close(self) -> None:
        """Close the connections that are not in use."""
        super().close()
        self._pool.close()
