"""A line from a container in a notebook's cell, after it has come to an attached client."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from jupyter_client.manager import start_new_kernel

from measure import PAUSE, Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import World

REPEATS = ["sh", "-c", "while read line; do echo $line; done"]
SECONDS = 60


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield what the cell adds: both wait for the same line, the engine's client and the kernel's.

    A negative figure is a cell that had the line first.
    """
    container = world.ours.client.containers.run(
        world.busybox, REPEATS, network_mode="none", detach=True, stdin_open=True
    )
    with kernel(world.ours.variables) as client:
        attach = f"%container attach --no-stdin {container.id}"
        asked = client.execute(f"%load_ext ipycontainer\n{attach}")
        with attached(world.ours, container.id) as (send, receive):
            wait_until_attached(client, send)
            contender = line_shown(client, asked, send, receive)
            results = by_turns({"ours": contender}, rounds, PAUSE)
        container.remove(force=True)
        while client.get_shell_msg(timeout=SECONDS)["parent_header"]["msg_id"] != asked:
            pass
    what = "a line in the cell (the kernel's message), after the engine gave it out"
    yield Row(what, results, (Goal(0.015, words="≤ 15 ms"),))


def wait_until_attached(client: Any, send: Callable[[bytes], None]) -> None:
    """Have lines said until the cell shows one."""
    while True:
        send(b"is it there?\n")
        try:
            while client.get_iopub_msg(timeout=0.5)["msg_type"] != "stream":
                pass
        except Empty:
            continue
        return


def line_shown(
    client: Any, asked: str, send: Callable[[bytes], None], receive: Callable[[], bytes]
) -> Contender:
    """Return the contender that has the container say a line."""
    count = 0

    def run(clock: Timed) -> None:
        nonlocal count
        count += 1
        line = f"line {count}"
        send(f"{line}\n".encode())
        while line.encode() not in receive():
            pass
        given_out = time.perf_counter()
        text = ""
        while line not in text:
            message = client.get_iopub_msg(timeout=SECONDS)
            if message["msg_type"] == "stream" and message["parent_header"]["msg_id"] == asked:
                text += message["content"]["text"]
        clock.seconds = time.perf_counter() - given_out

    return run


@contextmanager
def kernel(variables: dict[str, str]) -> Iterator[Any]:
    """Yield the client of a kernel that uses this engine."""
    manager, client = start_new_kernel(kernel_name="python3", env={**os.environ, **variables})
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def attached(
    host: Host, container: str
) -> Iterator[tuple[Callable[[bytes], None], Callable[[], bytes]]]:
    """Yield how to write to a container and to read what it prints."""
    response = host.client.api.attach_socket(
        container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    )
    sock = response._sock
    try:
        yield sock.sendall, lambda: bytes(sock.recv(1 << 16))
    finally:
        response.close()
