"""Attached clients: what they are sent, what they send, how they come and go."""

import asyncio
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import pytest
from shimbox import Container, Engine

from ipycontainer_runtime.shim.messages import Detached, LogOptions

pytestmark = pytest.mark.needs("root", "busybox")
T = TypeVar("T")


async def blocking(function: Callable[..., T], *args: object) -> T:
    return await asyncio.to_thread(function, *args)


def read_all(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def unframed(data: bytes) -> dict[int, bytes]:
    """Take Docker's multiplexing apart: stream number to what it carried."""
    streams: dict[int, list[bytes]] = {}
    position = 0
    while position < len(data):
        stream, length = struct.unpack_from(">B3xI", data, position)
        position += 8 + length
        streams.setdefault(stream, []).append(data[position - length : position])
    assert position == len(data)
    return {stream: b"".join(parts) for stream, parts in streams.items()}


async def test_output_is_multiplexed_as_docker_does(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "echo out; echo err >&2")
    with container.attach() as client:
        await container.start()
        assert unframed(await blocking(read_all, client)) == {1: b"out\n", 2: b"err\n"}


async def test_a_client_gets_only_the_streams_it_asked_for(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "echo out; echo err >&2")
    with container.attach(stdout=False) as client:
        await container.start()
        assert unframed(await blocking(read_all, client)) == {2: b"err\n"}


async def test_a_half_closed_input_ends_the_container_s(engine: Engine) -> None:
    container = await engine.container("cat", stdin=True, stdin_once=True)
    with container.attach(stdin=True, buffered=b"al") as client:
        client.sendall(b"pha")
        client.shutdown(socket.SHUT_WR)
        await container.start()
        assert unframed(await blocking(read_all, client)) == {1: b"alpha"}
    assert (await container.exited()).code == 0


async def test_input_stays_open_for_the_next_client_unless_it_is_once(engine: Engine) -> None:
    container = await engine.container("head", "-n", "2", stdin=True)
    await container.start()
    for line in (b"one\n", b"two\n"):
        with container.attach(stdin=True) as client:
            client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            await blocking(read_all, client)
    assert (await container.exited()).code == 0
    assert container.text() == b"one\ntwo\n"


async def test_the_death_of_an_only_client_ends_the_input(engine: Engine) -> None:
    container = await engine.container("wc", "-c", stdin=True, stdin_once=True)
    client = container.attach(stdin=True)
    await container.start()
    client.sendall(b"12345")
    client.close()
    assert (await container.exited()).code == 0
    assert container.text().strip() == b"5"


def feed(client: socket.socket, chunk: bytes, times: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(times):
        client.sendall(chunk)
        digest.update(chunk)
    client.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def digest_frames(client: socket.socket) -> tuple[str, int]:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with client.makefile("rb", buffering=1 << 20) as file:
        while head := file.read(8):
            data = file.read(struct.unpack(">B3xI", head)[1])
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size


async def through(engine: Engine, megabytes: int) -> None:
    container = await engine.container("cat", stdin=True, stdin_once=True, log="none")
    with container.attach(stdin=True) as client:
        await container.start()
        chunk = os.urandom(1 << 20)
        sent, (received, size) = await asyncio.gather(
            blocking(feed, client, chunk, megabytes), blocking(digest_frames, client)
        )
    assert (size, received) == (megabytes << 20, sent)


async def test_100_megabytes_come_back_unchanged(engine: Engine) -> None:
    await through(engine, 100)


@pytest.mark.long
async def test_a_gigabyte_comes_back_unchanged(engine: Engine) -> None:
    await through(engine, 1024)


async def test_a_hundred_clients_at_once_each_get_everything(engine: Engine) -> None:
    container = await engine.container("seq", "20000")
    expected = "".join(f"{n}\n" for n in range(1, 20001)).encode()
    with ExitStack() as stack:
        clients = [stack.enter_context(container.attach()) for _ in range(100)]
        await container.start()
        received = await asyncio.gather(*(blocking(read_all, client) for client in clients))
    assert all(unframed(data) == {1: expected} for data in received)


async def test_a_client_that_stops_reading_stalls_the_output(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "yes | head -c 30000000; echo done >&2")
    with container.attach() as client:
        await container.start()
        await settled(container)
        assert container.log.stat().st_size < 5_000_000
        assert not container.events
        streams = unframed(await blocking(read_all, client))
    assert (len(streams[1]), streams[2]) == (30_000_000, b"done\n")
    assert (await container.exited()).code == 0


async def settled(container: Container) -> None:
    """Wait until the log grows no more."""
    before = -1
    while (size := container.log.stat().st_size) != before:
        before = size
        await asyncio.sleep(0.3)


async def test_a_client_that_vanishes_holds_up_nobody(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "yes | head -c 30000000; echo done >&2")
    stalled, reading = container.attach(), container.attach()
    with reading:
        await container.start()
        await settled(container)
        stalled.close()
        streams = unframed(await blocking(read_all, reading))
    assert (len(streams[1]), streams[2]) == (30_000_000, b"done\n")


async def test_a_slow_client_gets_all_after_the_end_and_the_exit_waits_for_nobody(
    engine: Engine,
) -> None:
    container = await engine.container("sh", "-c", "yes | head -c 230000")
    with container.attach() as client:
        await container.start()
        assert (await container.exited()).code == 0
        assert len(unframed(await blocking(read_all, client))[1]) == 230_000


async def test_unread_input_is_no_error_for_the_client(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "echo bye", stdin=True, stdin_once=True)
    with container.attach(stdin=True) as client:
        client.sendall(b"x" * 150_000)
        await container.start()
        assert unframed(await blocking(read_all, client)) == {1: b"bye\n"}


async def test_input_after_the_process_closed_its_own_does_no_harm(engine: Engine) -> None:
    script = "exec <&-; echo closed; usleep 300000; echo end"
    container = await engine.container("sh", "-c", script, stdin=True, stdin_once=True)
    with container.attach(stdin=True) as client:
        await container.start()
        await blocking(client.recv, 8)
        client.sendall(b"x" * 100_000)
        said = await blocking(read_all, client)
    assert b"end" in said


@pytest.mark.parametrize("log", ["local", "json-file"])
async def test_a_replayed_log_goes_over_into_what_comes_without_a_gap(
    engine: Engine, log: str
) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; read x; printf end"
    container = await engine.container("sh", "-c", script, log=log, stdin=True)
    with ExitStack() as stack:
        await container.start()
        clients = []
        for _ in range(20):
            clients.append(stack.enter_context(container.attach(logs=True)))
            await container.connection.status()
        clients.append(stack.enter_context(container.attach(logs=True, stdin=True)))
        clients[-1].sendall(b"\n")
        received = await asyncio.gather(*(blocking(read_all, client) for client in clients))
    expected = "".join(f"{n}\n" for n in range(5000)).encode() + b"end"
    for data in received:
        assert unframed(data) == {1: expected}


@pytest.mark.parametrize("log", ["local", "json-file"])
async def test_a_line_that_has_begun_is_replayed_once(engine: Engine, log: str) -> None:
    script = "printf begun; read x; echo ' and ended'"
    container = await engine.container("sh", "-c", script, stdin=True, log=log)
    with container.attach() as first:
        await container.start()
        assert (await blocking(first.recv, 100))[8:] == b"begun"
        with container.attach(stdin=True, logs=True) as second:
            assert (await blocking(second.recv, 100))[8:] == b"begun"
            second.sendall(b"\n")
            assert (await blocking(read_all, second))[8:] == b" and ended\n"


async def test_the_log_alone_is_replayed_and_closed(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "echo out; sleep 100")
    with container.attach() as client:
        await container.start()
        await blocking(client.recv, 100)
    with container.attach(logs=True, stream=False) as client:
        assert unframed(await blocking(read_all, client)) == {1: b"out\n"}


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data and (part := client.recv(65536)):
        data += part
    return data


async def test_a_terminal_is_raw_and_has_the_size_that_was_set(engine: Engine) -> None:
    container = await engine.container("sh", tty=True, stdin=True)
    with container.attach(stdin=True, framed=False) as client:
        await container.connection.resize(100, 40)
        await container.start()
        client.sendall(b"stty size; tty\n")
        assert b"40 100\r\n/dev/pts/0\r\n" in await blocking(read_until, client, b"pts/0\r\n")
        await container.connection.resize(60, 20)
        client.sendall(b"stty size; exit 3\n")
        assert b"20 60\r\n" in await blocking(read_all, client)
    assert (await container.exited()).code == 3


async def test_detach_keys_end_the_client_and_nothing_else(engine: Engine) -> None:
    container = await engine.container("cat", tty=True, stdin=True)
    with container.attach(stdin=True, framed=False) as client:
        await container.start()
        client.sendall(b"ab\x10")
        client.sendall(b"c")
        assert await blocking(read_until, client, b"c") == b"ab^Pc"
        client.sendall(b"d\x10")
        client.sendall(b"\x11")
        assert b"^P" not in await blocking(read_all, client)
    assert container.events == [Detached(None)]
    assert (await container.connection.status()).pid
    with container.attach(stdin=True, framed=False, detach_keys=b"q") as client:
        client.sendall(b"q")
        await blocking(read_all, client)
    assert container.events == [Detached(None)] * 2


async def test_an_exec_has_streams_of_its_own(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    await container.start()
    _, client = await container.exec("cat", stdin=True)
    with client:
        client.sendall(b"through")
        client.shutdown(socket.SHUT_WR)
        assert unframed(await blocking(read_all, client)) == {1: b"through"}
    _, client = await container.exec("tty", tty=True, stdin=True, framed=False)
    with client:
        assert await blocking(read_all, client) == b"/dev/pts/0\r\n"
    assert container.text() == b""


@pytest.mark.parametrize("log", ["local", "json-file"])
async def test_a_full_disk_costs_the_log_and_not_the_container(engine: Engine, log: str) -> None:
    small = engine.paths.root / "small"
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        options = LogOptions(log, small / "log")
        container = await engine.container("seq", "1000000", log_options=options)
        with container.attach() as client:
            await container.start()
            assert unframed(await blocking(read_all, client))[1].endswith(b"1000000\n")
        assert (await container.exited()).code == 0
        assert container.text()
    finally:
        subprocess.run(["umount", small], check=True)


async def test_many_clients_come_and_go_while_output_flows(engine: Engine) -> None:
    container = await engine.container("yes", log="none")
    await container.start()

    def visit() -> None:
        for _ in range(20):
            with container_attach() as client:
                client.recv(100_000)

    loop = asyncio.get_running_loop()

    def container_attach() -> socket.socket:
        made: list[socket.socket] = []
        done = threading.Event()

        def attach() -> None:
            made.append(container.attach())
            done.set()

        loop.call_soon_threadsafe(attach)
        done.wait()
        return made[0]

    await asyncio.gather(*(blocking(visit) for _ in range(5)))
    assert (await container.connection.status()).clients < 100
    await container.connection.signal(signal.SIGKILL)
    assert (await container.exited()).code == 137
