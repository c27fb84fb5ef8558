"""A connection that leaves HTTP loses nothing, however early the client speaks or half-closes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import raw
from tornado.web import Application

from ipycontainer_runtime import activation
from ipycontainer_runtime.api import hijack
from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.server import Server
from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.paths import Paths


class Echo(EngineHandler):
    """Waits for the test, then takes the connection and gives back what it gets, in capitals."""

    hijacks = True

    async def post(self, name: str) -> None:
        """Hijack; a container called `missing` is not there."""
        await self.application.settings["go"].wait()
        if name == "missing":
            raise NotFound(f"No such container: {name}")
        sock, received = await self.hijack(self.stream_type(tty=False))
        loop = asyncio.get_running_loop()
        with sock:
            while part := await loop.sock_recv(sock, 65536):
                received += part
            await loop.sock_sendall(sock, received.upper())


@asynccontextmanager
async def serving(folders: Paths) -> AsyncIterator[Application]:
    """Run the real server with one handler, in this loop."""
    folders.run.mkdir()
    application = Application(
        [(r"(?:/v1\.\d+)?/containers/(\w+)/attach", Echo)],
        engine=None,
        go=asyncio.Event(),
        log_function=lambda _handler: None,
    )
    listener = activation.listen(folders)
    activity = Activity()
    server = Server(application, listener, folders, activity)
    server.start()
    try:
        yield application
        assert server.withdraw(asked=True)
        server.close()
        await asyncio.wait_for(activity.quiet(0), 5)
    finally:
        listener.close()


def request(name: str = "web", *, upgrade: bool = True, version: str = "1.50") -> bytes:
    """Return the head that docker sends to attach."""
    wishes = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
    line = f"POST /v{version}/containers/{name}/attach?stream=1 HTTP/1.1\r\n"
    return f"{line}Host: docker\r\n{wishes}Content-Length: 0\r\n\r\n".encode()


async def converse(folders: Paths, first: bytes, later: bytes, *, wait: bool) -> bytes:
    """Send `first`, half-close after `later`, and return everything that comes back.

    With `wait` the handler takes the connection first; without, it finds all of it sent.
    """
    async with serving(folders) as application:
        reader, writer = await asyncio.open_unix_connection(str(folders.socket))
        writer.write(first)
        head = b""
        if wait:
            application.settings["go"].set()
            head = await reader.readuntil(b"\r\n\r\n")
        writer.write(later)
        writer.write_eof()
        if not wait:
            # A second connection's reply tells that the first was read to its end.
            other = await asyncio.to_thread(_not_found, folders)
            assert other == 404
            application.settings["go"].set()
        received = head + await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return received


def _not_found(folders: Paths) -> int:
    with activation.dial(folders) as sock:
        return raw.ask(sock, "/nowhere")[0]


@pytest.mark.parametrize("wait", [True, False])
def test_a_half_close_before_or_after_the_upgrade_loses_nothing(folders: Paths, wait: bool) -> None:
    received = asyncio.run(converse(folders, request(), b"hello", wait=wait))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 101 UPGRADED"
    assert b"Upgrade: tcp" in head
    assert f"Content-Type: {hijack.MULTIPLEXED}".encode() in head
    assert body == b"HELLO"


def test_bytes_sent_with_the_request_reach_the_stream(folders: Paths) -> None:
    received = asyncio.run(converse(folders, request() + b"early ", b"late", wait=False))
    assert received.endswith(b"\r\n\r\nEARLY LATE")


def test_a_megabyte_sent_at_once_with_a_half_close_arrives_whole(folders: Paths) -> None:
    received = asyncio.run(converse(folders, request(), b"x" * 1_000_000, wait=False))
    assert received.partition(b"\r\n\r\n")[2] == b"X" * 1_000_000


def test_a_client_that_did_not_ask_to_upgrade_gets_200(folders: Paths) -> None:
    received = asyncio.run(converse(folders, request(upgrade=False), b"a", wait=True))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_older_versions_are_told_one_type_for_every_stream(folders: Paths) -> None:
    received = asyncio.run(converse(folders, request(version="1.41"), b"a", wait=True))
    assert f"Content-Type: {hijack.RAW}\r\n".encode() in received


def test_a_refused_attach_is_an_ordinary_reply_and_the_connection_goes_on(folders: Paths) -> None:
    async def scenario() -> None:
        async with serving(folders) as application:
            application.settings["go"].set()
            reader, writer = await asyncio.open_unix_connection(str(folders.socket))
            for _ in range(2):
                writer.write(request("missing"))
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 404 ")
                assert await reader.readline() == b'{"message":"No such container: missing"}\n'
            writer.close()

    asyncio.run(scenario())


def test_a_client_that_vanishes_before_the_upgrade_leaves_nothing_open(
    folders: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving(folders) as application:
            before = open_sockets()
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(folders.socket))
                sock.sendall(request())
                assert await asyncio.to_thread(_not_found, folders) == 404
            application.settings["go"].set()
            # Our end of both connections closes in the next turns of this very loop.
            while open_sockets() > before:
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert not caplog.records


def open_sockets() -> int:
    """Count this process's sockets."""
    import os

    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue
    return count
