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
from typing import Any

from ipycontainer.failures import Failure
from ipycontainer_kernel.folders import PORTS

_CHUNK = 1 << 16


class Relays:
    """Listens where clients look for a kernel, and connects them to its sockets in their order."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._served = asyncio.Event()
        self._kernel: Mapping[str, Any] = {}

    async def open(self, connection: Mapping[str, Any]) -> None:
        """Listen where a client's connection file says; who comes before `serve` is let wait.

        Raises `Failure` for a port that somebody else has.
        """
        ip = str(connection.get("ip") or "127.0.0.1")
        for name, port in zip(PORTS, _ports(connection), strict=True):
            accept = partial(self._accept, name)
            try:
                if connection.get("transport") == "ipc":
                    server = await asyncio.start_unix_server(accept, f"{ip}-{port}")
                else:
                    server = await asyncio.start_server(accept, ip, port)
            except OSError as error:
                raise Failure(
                    f"port {port} of {ip} cannot be listened on: {error.strerror}; ask for others"
                ) from error
            self._servers.append(server)

    def serve(self, kernel: Mapping[str, Any]) -> None:
        """Let clients through to a kernel that has this connection."""
        self._kernel = kernel
        self._served.set()

    def _accept(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer, name))
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
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> None:
        await self._served.wait()
        try:
            inner_reader, inner_writer = await self._dial(name)
        except OSError:
            writer.close()  # the kernel has ended or restarts: ZeroMQ comes again
            return
        # Small messages go back and forth: Nagle's algorithm would hold each for 40 ms.
        for sock in (writer.get_extra_info("socket"), inner_writer.get_extra_info("socket")):
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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

    async def _dial(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        kernel = self._kernel
        if kernel["transport"] == "ipc":
            return await asyncio.open_unix_connection(f"{kernel['ip']}-{kernel[name]}")
        return await asyncio.open_connection(kernel["ip"], kernel[name])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


def _ports(connection: Mapping[str, Any]) -> list[int]:
    try:
        return [int(connection[name]) for name in PORTS]
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"the connection file lacks a port ({error}): write it anew") from error
