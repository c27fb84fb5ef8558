"""Engines come and go; what a container says and how it ends is whole all the same."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from shimbox import Engine, children, process, shim_of, vanished
from test_shim_streams import blocking, read_all, unframed

from ipycontainer_runtime.linux.cgroup import detect
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import (
    AttachOptions,
    Event,
    ExecExited,
    ExecRequest,
    Exited,
    OnEvent,
)

pytestmark = pytest.mark.needs("root", "busybox")

# 10,000 lines a second, as even as a shell can make it, until it is told to stop; a fixed number of
# lines would be over before the last kill on a machine that is busy.
WRITER = """
trap 'stop=1' TERM
i=0
while [ -z "$stop" ]; do
    echo line $i; i=$((i+1))
    [ $((i%100)) = 0 ] && usleep 8000
done
echo $i lines
exit 7
"""


@pytest.mark.parametrize("log", ["local", "json-file"])
async def test_a_log_and_a_stream_stay_whole_while_the_engine_is_killed_20_times(
    engine: Engine, log: str
) -> None:
    """The engine's death is the end of its sockets, the spawner's with it."""
    container = await engine.container("sh", "-c", WRITER, log=log)
    ended = container.exit
    with container.attach() as client:
        await container.start()
        reading = asyncio.create_task(blocking(read_all, client))
        connection, kills = container.connection, 0
        while kills < 20:
            connection.close()
            await engine.spawner.close()
            await engine.spawner.start()
            found = await engine.spawner.reconnect(container.id, on_exit(ended))
            assert found is not None, f"the shim was lost at kill {kills + 1}"
            connection, kills = found, kills + 1
            late = attach(connection)
            await connection.status()
            late.close()
        await connection.signal(signal.SIGTERM)
        streams = unframed(await asyncio.wait_for(reading, 60))
    assert container.text() == streams[1]
    assert set(streams) == {1}
    *lines, last = streams[1].splitlines()
    assert lines == [b"line %d" % number for number in range(len(lines))]
    assert last == b"%d lines" % len(lines)
    assert json.loads((container.state / "exit.json").read_text())["code"] == 7


def on_exit(ended: asyncio.Future[Exited]) -> OnEvent:
    def on_event(event: Event) -> None:
        if isinstance(event, Exited) and not ended.done():
            ended.set_result(event)

    return on_event


def attach(connection: ShimConnection) -> socket.socket:
    ours, theirs = socket.socketpair()
    connection.attach(theirs, AttachOptions())
    return ours


async def test_a_container_ends_alone_and_the_next_engine_reads_how(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "read x; exit 9", stdin=True)
    await container.start()
    shim = shim_of((await container.connection.status()).pid)
    with container.attach(stdin=True) as client:
        await container.connection.status()
        container.connection.close()
        await engine.spawner.close()
        client.sendall(b"\n")
        await blocking(read_all, client)
    await vanished({shim})
    assert json.loads((container.state / "exit.json").read_text())["code"] == 9
    assert await engine.spawner.reconnect(container.id, lambda _: None) is None


async def test_the_next_engine_finds_execs_and_can_signal(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    started = await container.start()
    await container.connection.exec(ExecRequest("done", process("sh", "-c", "exit 3")))
    await container.connection.exec(ExecRequest("lives", process("sleep", "100")))
    container.connection.close()
    connection = await engine.spawner.reconnect(container.id, on_exit(container.exit))
    assert connection is not None
    while (status := await connection.status()).execs["done"] is None:
        pass  # it is about to end
    assert status.pid == started.pid
    assert status.execs == {"done": ExecExited("done", 3), "lives": None}
    assert status.cgroup == started.cgroup
    await connection.signal(signal.SIGKILL)
    assert (await container.exited()).code == 137


async def test_a_shim_that_was_never_started_leaves_with_its_engine(engine: Engine) -> None:
    await engine.run("true")
    container = await engine.container("true")
    spawner = engine.spawner._process
    assert spawner is not None
    shims = children(spawner.pid)
    nurseries = {pid for shim in shims for pid in children(shim)}
    with container.attach() as client:
        container.connection.close()
        assert await blocking(read_all, client) == b""
    await engine.spawner.close()
    await vanished(shims | nurseries | {spawner.pid})
    assert not [n for shim in shims for n in detect().stale("") if n.endswith(f"-{shim}")]
    assert os.listdir(engine.paths.run / "shims") == []


async def test_a_killed_spawner_and_a_killed_parked_shim_are_replaced(engine: Engine) -> None:
    assert (await engine.run("true")).code == 0
    spawner = engine.spawner._process
    assert spawner is not None
    os.kill(spawner.pid, signal.SIGKILL)
    assert (await engine.run("sh", "-c", "exit 4")).code == 4  # by the shim that was parked
    assert (await engine.run("sh", "-c", "exit 4")).code == 4
    spawner = engine.spawner._process
    assert spawner is not None
    shims = children(spawner.pid)
    for shim in shims:
        os.kill(shim, signal.SIGKILL)
    await vanished(shims)
    assert (await engine.run("sh", "-c", "exit 5")).code == 5


async def test_a_container_is_started_again_where_its_shim_was_killed(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    started = await container.start()
    os.kill(shim_of(started.pid), signal.SIGKILL)
    await asyncio.wait_for(asyncio.shield(container.connection.closed), 10)
    assert (engine.paths.run / "shims" / container.id[:16] / "shim.sock").exists()
    connection = await engine.spawner.shim(container.id, on_exit(container.exit))
    await connection.start(container.request)
    await connection.signal(signal.SIGKILL)
    assert (await container.exited()).code == 137
    assert detect().open(started.cgroup).remove()


async def test_twenty_containers_start_at_once(engine: Engine) -> None:
    exits = await asyncio.gather(*(engine.run("sh", "-c", f"exit {n}") for n in range(20)))
    assert [exited.code for exited in exits] == list(range(20))


def test_the_spawner_needs_nothing_but_the_standard_library_and_three_rooms() -> None:
    spawner = Path(__file__).parents[2] / "runtime/ipycontainer_runtime/shim/spawner.py"
    script = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "print(*(n for n in sys.modules if n.startswith('ipycontainer_runtime.')))"
    )
    command = [sys.executable, "-I", "-S", "-c", script, spawner]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    rooms = {name.split(".")[1] for name in loaded}
    assert rooms <= {"launch", "linux", "shim", "errors"}
