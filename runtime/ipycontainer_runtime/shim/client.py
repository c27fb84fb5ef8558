"""The engine's side of one shim, in asyncio.

Messages of one connection are handled in order, so an `attach` sent before `start` misses nothing.
A shim outlives the engine; `spawning.Spawner` connects to new shims and to those found running.
"""

import asyncio
import os
import socket

from ..errors import Unavailable
from .messages import (
    AttachOptions,
    ExecRequest,
    OnEvent,
    ShimStatus,
    Started,
    StartRequest,
    attach_message,
    error_from,
    event_from,
    exec_message,
    start_message,
    started_from,
    status_from,
)
from .protocol import Channel, Message, ProtocolError


class ShimConnection:
    """One connection of the engine to a shim. Made by `Spawner`; used from one event loop.

    `adopt` is the folder that a parked shim is to take for its own, `cgroup` the name of its
    cgroup. `on_event` is called from the event loop. `closed` resolves when the shim is gone, or
    this connection is.
    """

    def __init__(
        self, sock: socket.socket, on_event: OnEvent, adopt: str | None = None, cgroup: str = ""
    ) -> None:
        self.cgroup = cgroup
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(sock)
        self._on_event = on_event
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self._writing = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(sock.fileno(), self._read)
        if adopt is not None:
            self._send({"do": "adopt", "dir": adopt})

    async def start(self, request: StartRequest) -> Started:
        """Start the container; returns once its command is executed. Raises StartFailed."""
        return started_from(await self._ask(start_message(request)))

    def attach(self, sock: socket.socket, options: AttachOptions) -> None:
        """Give a client's connection to the shim, and close it here. Before or after the start."""
        with sock:
            self._send(attach_message(options), (sock.fileno(),))

    async def exec(self, request: ExecRequest, sock: socket.socket | None = None) -> Started:
        """Run one more process in the container. Raises StartFailed.

        With `request.attach`, `sock` is the client's connection; it is the shim's from now on.
        """
        message = exec_message(request)
        if sock is None:
            return started_from(await self._ask(message))
        with sock:
            answer = self._ask(message, (sock.fileno(),))
        return started_from(await answer)

    async def resize(self, width: int, height: int, exec_id: str | None = None) -> None:
        """Set a terminal's size in characters; before the start it is kept for it."""
        await self._ask({"do": "resize", "exec": exec_id, "width": width, "height": height})

    def watch_input(self, exec_id: str | None = None, *, on: bool) -> None:
        """Have `InputWanted` told of the container's input, or an exec's, or no more of it."""
        self._send({"do": "watch", "exec": exec_id, "on": on})

    async def signal(self, number: int, exec_id: str | None = None) -> None:
        """Send a signal to the container's first process, or to an exec'd one. Raises NotFound."""
        await self._ask({"do": "signal", "exec": exec_id, "signal": number})

    async def limit(self, resources: Message) -> None:
        """Bind other limits to the container that runs. Raises Conflict for what cannot be."""
        await self._ask({"do": "limit", "resources": resources})

    async def status(self) -> ShimStatus:
        """Return what the shim knows; `pid` is 0 before the start."""
        return status_from(await self._ask({"do": "status"}))

    def close(self) -> None:
        """Drop this connection. A shim that has not started then leaves; any other stays."""
        if self.closed.done():
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self.closed.set_result(None)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(
                    Unavailable("the connection to the container's shim ended; try again")
                )
        self._replies.clear()

    def _ask(self, message: Message, fds: tuple[int, ...] = ()) -> asyncio.Future[Message]:
        self._last += 1
        reply: asyncio.Future[Message] = self._loop.create_future()
        self._replies[self._last] = reply
        try:
            self._send({**message, "id": self._last}, fds)
        except OSError:  # there is no descriptor for what would have to wait
            del self._replies[self._last]
            raise
        return reply

    def _send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        if self.closed.done():
            raise Unavailable("the connection to the container's shim has ended; try again")
        try:
            self._channel.send(message, fds)
        except ConnectionError:
            # What the shim said before it left is still to be read: an exit, above all.
            self._read()
            return
        if self._channel.pending and not self._writing:
            self._writing = True
            self._loop.add_writer(self._channel.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._channel.flush()
        except OSError:
            self._read()
            return
        if not self._channel.pending:
            self._writing = False
            self._loop.remove_writer(self._channel.fileno())

    def _read(self) -> None:
        try:
            received = self._channel.receive()
        except (OSError, ProtocolError):
            received = None
        if received is None:
            self.close()
            return
        for message, fds in received:
            for fd in fds:
                os.close(fd)
            self._handle(message)

    def _handle(self, message: Message) -> None:
        if "event" in message:
            self._on_event(event_from(message))
            return
        reply = self._replies.pop(message["id"], None)
        if reply is None or reply.done():
            return
        if "error" in message:
            reply.set_exception(error_from(message))
        else:
            reply.set_result(message)
