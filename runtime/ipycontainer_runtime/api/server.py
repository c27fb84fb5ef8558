"""The engine's side of its socket: connections, what they hold up, and leaving without loss."""

import asyncio
import errno
import fcntl
import logging
import os
import socket
import termios
from collections.abc import Awaitable
from contextlib import ExitStack

from tornado import httputil
from tornado.http1connection import (
    HTTP1ConnectionParameters,
    HTTP1ServerConnection,
)
from tornado.iostream import IOStream
from tornado.web import Application

from ipycontainer_runtime.activation import activation_lock
from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.paths import Paths

_log = logging.getLogger(__name__)

# A registry's credentials travel in a header; nothing larger does.
_MAX_HEADER = 256 << 10
# JSON alone. Handlers that take archives stream them.
_MAX_BODY = 16 << 20
_AT_ONCE = 64
# What ends a lack of descriptors is the end of something else, which tells nobody.
_REST_SECONDS = 0.2
_ZERO = b"\0" * 4


class Server(httputil.HTTPServerConnectionDelegate):
    """Serves `application` on a listening unix socket, and tells `activity` who needs the engine.

    A connection holds the engine up from its request's head to the end of the reply; one that is
    only kept open does not.
    """

    def __init__(
        self, application: Application, listener: socket.socket, paths: Paths, activity: Activity
    ) -> None:
        self._application = application
        self._listener = listener
        self._paths = paths
        self._activity = activity
        # No time limit on heads: whoever can connect may keep a connection open, the engine leaves
        # all the same, and the timer would be a tenth of a ping's time.
        self._params = HTTP1ConnectionParameters(
            max_header_size=_MAX_HEADER, max_body_size=_MAX_BODY
        )
        self._streams: dict[object, IOStream] = {}
        self._busy: set[object] = set()
        self._left = ExitStack()
        listener.setblocking(False)
        self._identity = self._socket_identity()

    def start(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> int:
        """Accept what is waiting, a batch at most; return how many."""
        for count in range(_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return count
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                self._rest_from_accepting(error)
                return count
            connection.setblocking(False)
            stream = IOStream(connection)
            served = HTTP1ServerConnection(stream, self._params)
            self._streams[served] = stream
            self._activity.touch()
            served.start_serving(self)
        return _AT_ONCE

    def _rest_from_accepting(self, error: OSError) -> None:
        """Leave clients in the backlog for a while: it stays readable, and nobody would get on."""
        _log.warning("clients wait, since no connection can be accepted: %s", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.call_later(_REST_SECONDS, self._accept_again)

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self.start()

    # -- called by tornado

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Begin a connection's next request, which ends its last."""
        self._rest(server_conn)
        return _Watched(
            self, server_conn, self._application.start_request(server_conn, request_conn)
        )

    def work(self, server_conn: object) -> None:
        """Count a connection whose request has begun to arrive."""
        if server_conn not in self._busy:
            self._busy.add(server_conn)
            self._activity.begin()

    def _rest(self, server_conn: object) -> None:
        if server_conn in self._busy:
            self._busy.discard(server_conn)
            self._activity.end()

    def on_close(self, server_conn: object) -> None:
        """Forget a connection that is closed or hijacked."""
        self._rest(server_conn)
        self._streams.pop(server_conn, None)

    # -- leaving

    def withdraw(self, *, asked: bool = False) -> bool:
        """Stop serving if nobody is on the way to us; `asked` does it in any case.

        Holds the activation lock until the process ends, so that a client that finds no socket
        starts the next engine when the data root is free (docs/architecture.md, "Idle exit").
        """
        lock = self._left
        try:
            lock.enter_context(activation_lock(self._paths, wait=False))
        except BlockingIOError:
            # A client is about to connect, or to find that we are here.
            if not asked:
                return False
        if self._withdraw_locked(asked):
            return True
        lock.close()
        return False

    def _withdraw_locked(self, asked: bool) -> bool:
        aside = self._paths.socket.with_suffix(".leaving")
        ours = self._identity == self._socket_identity()
        if ours:
            # A renamed socket still has its queue, but nobody new finds it.
            os.rename(self._paths.socket, aside)
        if not asked and (self._accept() or self._is_spoken_to()):
            if ours:
                os.rename(aside, self._paths.socket)
            return False
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        if ours:
            aside.unlink()
        return True

    def close(self) -> None:
        """Close every connection that is still open, which cancels what streams to it."""
        for stream in list(self._streams.values()):
            stream.close()

    def _is_spoken_to(self) -> bool:
        """Tell whether an idle connection has sent something; if none has, none can afterwards.

        Once a connection is shut for reading, sending on it fails. What slipped in before is
        closed unread, which the kernel tells the client as a reset. Either way it knows that
        nothing was done, and our own clients ask the next engine.
        """
        if self._busy or not all(map(_silent, self._streams.values())):
            return True
        for stream in self._streams.values():
            if not stream.closed():
                stream.socket.shutdown(socket.SHUT_RD)
        return False

    def _socket_identity(self) -> tuple[int, int] | None:
        try:
            found = self._paths.socket.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def _silent(stream: IOStream) -> bool:
    """Tell whether a connection waits for its next request's first byte."""
    if stream.closed():
        return True
    # Not reading means that a head was read just now, and that whoever waits for it has yet to run.
    return stream.reading() and fcntl.ioctl(stream.socket, termios.FIONREAD, _ZERO) == _ZERO


class _Watched(httputil.HTTPMessageDelegate):
    """Passes a request on, and tells the server when its head has come."""

    def __init__(
        self, server: Server, server_conn: object, inner: httputil.HTTPMessageDelegate
    ) -> None:
        self._server = server
        self._server_conn = server_conn
        self._inner = inner

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        self._server.work(self._server_conn)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()
