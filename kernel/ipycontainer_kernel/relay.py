"""Five byte-for-byte relays: a client's TCP ports to the unix sockets of a kernel in a container.

ZeroMQ speaks the same protocol over both (https://rfc.zeromq.org/spec/23/), and each of its
connections is a stream of its own, so nothing of it has to be understood, nor a key be known.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from ipycontainer.failures import Failure

_CHUNK = 1 << 16


class Relays:
    """Listens where clients look for a kernel, and connects them to its sockets in their order."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._served = asyncio.Event()

    async def open(self, transport: str, ip: str, sockets: Mapping[int, Path]) -> None:
        """Listen at each port of `ip`; clients that come before `serve` are let wait.

        Raises `Failure` for a port that somebody else has.
        """
        for port, path in sockets.items():
            accept = partial(self._accept, path)
            try:
                if transport == "ipc":
                    server = await asyncio.start_unix_server(accept, f"{ip}-{port}")
                else:
                    server = await asyncio.start_server(accept, ip, port)
            except OSError as error:
                raise Failure(
                    f"port {port} of {ip} cannot be listened on: {error.strerror}; ask for others"
                ) from error
            self._servers.append(server)

    def serve(self) -> None:
        """Let clients through: the kernel's sockets are there."""
        self._served.set()

    def _accept(
        self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer, path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path
    ) -> None:
        await self._served.wait()
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(path))
        except OSError:
            writer.close()  # the kernel has ended or restarts: ZeroMQ comes again
            return
        # Small messages go back and forth: Nagle's algorithm would hold each for 40 ms.
        outer = writer.get_extra_info("socket")
        if outer.family != socket.AF_UNIX:
            outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        both = (
            asyncio.ensure_future(_copy(reader, inner_writer)),
            asyncio.ensure_future(_copy(inner_reader, writer)),
        )
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # ZeroMQ knows no half-closed connection.
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, inner_writer):
                end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


def ports_of(connection: Mapping[str, object], names: tuple[str, ...]) -> list[int]:
    """Return the ports of a connection file; raises `Failure` where one is missing."""
    try:
        return [int(str(connection[name])) for name in names]
    except (KeyError, ValueError) as error:
        raise Failure(
            f"the connection file has no good {error}: let the client write it"
        ) from error
