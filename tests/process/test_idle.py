"""An engine leaves when nobody needs it, and nobody notices."""

import asyncio
import json
import os
import random
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import raw

from ipycontainer_runtime import activation, client
from ipycontainer_runtime.engine.engine import Engine
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.paths import Paths

QUICK = 0.03


def wait_for_end(pid: int, seconds: float = 20) -> bool:
    """Wait for a process to end."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)


def taken_up(where: Paths, request: bytes) -> socket.socket:
    """Send a request and return the connection once a reply has begun to come.

    An engine that leaves sooner than we speak, as these do when the machine is busy, says so by one
    of two errors: then nothing was done, and the next is asked as our own client asks it.
    """
    while True:
        sock = activation.activate(where)
        try:
            sock.sendall(request)
            sock.recv(1, socket.MSG_PEEK)
        except (BrokenPipeError, ConnectionResetError):
            sock.close()
        else:
            return sock


def ask(where: Paths, path: str) -> tuple[int, bytes]:
    with taken_up(where, raw.request(path)) as sock:
        return raw.parse(raw.read_all(sock))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, folders: Paths) -> Paths:
    """Folders of an engine that leaves almost at once."""
    monkeypatch.setenv("IPYCONTAINER_IDLE", str(QUICK))
    return folders


def test_an_idle_engine_leaves_nothing_in_its_run_folder(quick: Paths) -> None:
    assert wait_for_end(_started(quick))
    left = sorted(str(path.relative_to(quick.run)) for path in quick.run.rglob("*"))
    assert left == ["activation.lock", "engine.log", "shims"]
    assert client.logs() == ""


def _started(where: Paths) -> int:
    status, body = ask(where, "/ipycontainer")
    assert status == 200
    return int(json.loads(body)["Pid"])


def test_two_hundred_clients_of_an_engine_that_keeps_leaving_are_all_served(quick: Paths) -> None:
    chance = random.Random(1)
    engines = set()

    def visit(pause: float) -> tuple[int, bytes]:
        time.sleep(pause)  # the race with the idle time is what is tested
        return ask(quick, "/ipycontainer")

    with ThreadPoolExecutor(8) as pool:
        for _ in range(25):
            pause = QUICK + chance.uniform(-0.003, 0.009)
            for status, body in pool.map(visit, [pause] * 8):
                assert status == 200
                engines.add(json.loads(body)["Pid"])
    assert len(engines) > 3, "the engine never left, so nothing was tested"


def test_a_client_with_open_connections_does_not_hold_the_engine_and_loses_nothing(
    quick: Paths,
) -> None:
    docker = client.connect()
    chance = random.Random(2)
    engines = set()
    for _ in range(20):
        told = docker.api._result(
            docker.api._get(docker.api._url("/ipycontainer", versioned_api=False)), json=True
        )
        engines.add(told["Pid"])
        time.sleep(QUICK + chance.uniform(-0.005, 0.01))
    assert len(engines) > 3
    docker.close()


def test_a_request_in_progress_holds_the_engine(quick: Paths) -> None:
    with taken_up(quick, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        assert sock.recv(12) == b"HTTP/1.1 200"
        pid = int(quick.pid.read_text())
        assert not wait_for_end(pid, 10 * QUICK)
    assert wait_for_end(pid)


def test_half_a_request_holds_the_engine(quick: Paths) -> None:
    head = "POST /ipycontainer/keep?keep=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    half = f"{head}Expect: 100-continue\r\n\r\n{{"
    with taken_up(quick, half.encode()) as sock, sock.makefile("rb") as reply:
        assert reply.readline().startswith(b"HTTP/1.1 100 ")
        assert reply.readline() == b"\r\n"
        pid = int(quick.pid.read_text())
        assert not wait_for_end(pid, 10 * QUICK)
        sock.sendall(b"}")
        assert reply.readline().startswith(b"HTTP/1.1 204 ")
    assert wait_for_end(pid)


def test_url_holds_the_engine_for_clients_that_cannot_start_it(quick: Paths) -> None:
    client.url()
    pid = client.pid()
    assert pid is not None
    assert not wait_for_end(pid, 10 * QUICK)


def test_a_client_that_holds_the_lock_holds_the_engine(quick: Paths) -> None:
    while True:
        pid = _started(quick)
        with activation.activation_lock(quick):
            if wait_for_end(pid, 0):
                continue  # it had left before the lock was taken
            assert not wait_for_end(pid, 10 * QUICK)
        break
    assert wait_for_end(pid)


def test_an_engine_leaves_though_its_trash_takes_longer(folders: Paths) -> None:
    # Another thread that empties it stands for the millions of files that would take as long.
    async def close() -> None:
        engine = Engine(folders, Grade())
        with engine.layers.trash._emptying:
            await asyncio.wait_for(engine.close(), 60)

    asyncio.run(close())
