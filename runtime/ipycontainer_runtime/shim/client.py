"""The engine's side of one shim, in asyncio.

Messages of one connection are handled in order, so an `attach` sent before `start` misses nothing.
A shim outlives the engine; `spawning.Spawner` connects to new shims and to those found running.
"""

import os
import socket

from ..linux.asking import Asking
from ..linux.channel import Message
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


class ShimConnection:
    """One connection of the engine to a shim. Made by `Spawner`; used from one event loop.

    `adopt` is the folder that a parked shim is to take for its own, `cgroup` the name of its
    cgroup, `network` the network namespace of its parked process. `on_event` is called from the
    event loop. `closed` resolves when the shim is gone, or this connection is.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_event: OnEvent,
        adopt: str | None = None,
        cgroup: str = "",
        network: int = -1,
        pid: int = 0,
    ) -> None:
        self.cgroup = cgroup
        self.pid = pid
        """The shim's, where it was parked for this engine."""
        self._network = network
        self._on_event = on_event
        self._asking = Asking(sock, "the container's shim", self._hear, error_from)
        self.closed = self._asking.closed
        if adopt is not None:
            self._asking.send({"do": "adopt", "dir": adopt})

    async def start(self, request: StartRequest) -> Started:
        """Start the container; returns once its command is executed. Raises StartFailed."""
        return started_from(await self._asking.ask(start_message(request)))

    def attach(self, sock: socket.socket, options: AttachOptions) -> None:
        """Give a client's connection to the shim, and close it here. Before or after the start."""
        with sock:
            self._asking.send(attach_message(options), (sock.fileno(),))

    async def exec(self, request: ExecRequest, sock: socket.socket | None = None) -> Started:
        """Run one more process in the container. Raises StartFailed.

        With `request.attach`, `sock` is the client's connection; it is the shim's from now on.
        """
        message = exec_message(request)
        if sock is None:
            return started_from(await self._asking.ask(message))
        with sock:
            answer = self._asking.ask(message, (sock.fileno(),))
        return started_from(await answer)

    async def resize(self, width: int, height: int, exec_id: str | None = None) -> None:
        """Set a terminal's size in characters; before the start it is kept for it."""
        await self._asking.ask({"do": "resize", "exec": exec_id, "width": width, "height": height})

    def watch_input(self, exec_id: str | None = None, *, on: bool) -> None:
        """Have `InputWanted` told of the container's input, or an exec's, or no more of it."""
        self._asking.send({"do": "watch", "exec": exec_id, "on": on})

    async def signal(self, number: int, exec_id: str | None = None) -> None:
        """Send a signal to the container's first process, or to an exec'd one. Raises NotFound."""
        await self._asking.ask({"do": "signal", "exec": exec_id, "signal": number})

    async def limit(self, resources: Message) -> None:
        """Bind other limits to the container that runs. Raises Conflict for what cannot be."""
        await self._asking.ask({"do": "limit", "resources": resources})

    async def status(self) -> ShimStatus:
        """Return what the shim knows; `pid` is 0 before the start."""
        return status_from(await self._asking.ask({"do": "status"}))

    def take_network(self) -> int:
        """Return the network namespace of the parked process, from now on the caller's to close.

        -1 where it was taken before, or the shim was not parked.
        """
        network, self._network = self._network, -1
        return network

    async def pin(self, kinds: list[str]) -> int:
        """Have the user namespace made that a start will ask for; the process that keeps it."""
        reply = await self._asking.ask({"do": "pin", "namespaces": kinds})
        return int(reply["pid"])

    def close(self) -> None:
        """Drop this connection. A shim that has not started then leaves; any other stays."""
        if (network := self.take_network()) >= 0:
            os.close(network)
        self._asking.close()

    def _hear(self, message: Message) -> None:
        self._on_event(event_from(message))
