"""A container's life as its shim keeps it: started, signalled, ended, recorded, removed."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from shimbox import KINDS, Container, Engine, children, process, shim_of, vanished

from ipycontainer_runtime.errors import NotFound, StartFailed
from ipycontainer_runtime.linux.cgroup import detect
from ipycontainer_runtime.shim.messages import ExecExited, ExecRequest

pytestmark = pytest.mark.needs("root", "busybox")


async def gone(container: Container) -> None:
    await asyncio.wait_for(asyncio.shield(container.connection.closed), 10)


async def test_the_exit_code_is_the_command_s(engine: Engine) -> None:
    assert (await engine.run("sh", "-c", "exit 7")).code == 7


async def test_a_signal_s_exit_code_is_128_and_its_number(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    await container.start()
    await container.connection.signal(signal.SIGKILL)
    exited = await container.exited()
    assert (exited.code, exited.signal) == (137, 9)


async def test_the_exit_is_on_disk_before_it_is_told(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "exit 3")
    started = await container.start()
    exited = await container.exited()
    record = json.loads((container.state / "exit.json").read_text())
    assert record == {
        "code": 3,
        "signal": 0,
        "at": exited.at,
        "oom": False,
        "peak": 0,
        "started_at": started.started_at,
        "times": exited.times,
    }
    assert started.started_at < exited.at


async def test_an_unknown_command_is_127_and_a_folder_is_126(engine: Engine) -> None:
    for command, code in (("nothing-such", 127), ("/bin", 126)):
        container = await engine.container(command)
        with pytest.raises(StartFailed, match=command) as failure:
            await container.start()
        assert failure.value.exit_code == code
        assert not (container.state / "exit.json").exists()
        await gone(container)


async def test_a_refused_limit_names_the_value(engine: Engine) -> None:
    resources = {"cpu": {"cpus": "4000"}}
    container = await engine.container("true", resources=resources)
    with pytest.raises(StartFailed, match="4000"):
        await container.start()
    await gone(container)


async def test_the_whole_pids_limit_is_the_container_s(engine: Engine) -> None:
    script = "for i in 1 2 3; do sleep 5 & done; echo started; kill -9 $(pgrep sleep); true"
    container = await engine.container(
        "sh", "-c", script.replace("$(pgrep sleep)", "-1"), resources={"pids": {"limit": 4}}
    )
    with container.attach() as client:
        await container.start()
        await container.exited()
        said = client.recv(65536)
    assert b"started" in said
    assert b"fork" not in said
    refused = await engine.run(
        "sh", "-c", script.replace("1 2 3", "1 2 3 4"), resources={"pids": {"limit": 4}}
    )
    assert refused.code != 0


async def test_running_out_of_memory_is_told(engine: Engine) -> None:
    hog = "dd if=/dev/zero of=/dev/null bs=64M count=1"
    exited = await engine.run(*hog.split(), resources={"memory": {"limit": 16 << 20}})
    assert (exited.code, exited.oom) == (137, True)


async def test_an_exec_runs_in_the_container_and_its_exit_is_told(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    init = await container.start()
    started, client = await container.exec("sh", "-c", "readlink /proc/self/ns/pid; exit 5", id="e")
    with client:
        said = await asyncio.to_thread(client.recv, 65536)
    assert os.readlink(f"/proc/{init.pid}/ns/pid").encode() in said
    assert started.pid != init.pid
    await told(container, ExecExited("e", 5))


async def told(container: Container, event: object) -> None:
    while event not in container.events:
        await container.connection.status()


async def test_a_detached_exec_runs_and_its_code_can_be_asked_later(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    await container.start()
    await container.connection.exec(ExecRequest("e", process("sh", "-c", "echo lost; exit 4")))
    await told(container, ExecExited("e", 4))
    assert (await container.connection.status()).execs == {"e": ExecExited("e", 4)}


async def test_an_exec_of_nothing_says_so_to_its_client_and_the_container_runs_on(
    engine: Engine,
) -> None:
    container = await engine.container("sleep", "100")
    await container.start()
    with pytest.raises(StartFailed, match="nothing-such") as failure:
        await container.exec("nothing-such")
    assert failure.value.exit_code == 127
    _, client = await container.exec("true")
    client.close()


async def test_execs_end_with_the_container(engine: Engine) -> None:
    container = await engine.container("sh", "-c", "read x; exit 2", stdin=True)
    await container.start()
    _, client = await container.exec("sleep", "100", id="e")
    with container.attach(stdin=True) as typing:
        typing.sendall(b"\n")
    exited = await container.exited()
    with client:
        assert await asyncio.to_thread(client.recv, 1) == b""
    assert exited.code == 2
    assert ExecExited("e", 137, 9) in container.events


async def test_a_signal_to_what_has_ended_is_refused(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    await container.start()
    with pytest.raises(NotFound):
        await container.connection.signal(15, "no-such-exec")


async def test_running_out_of_memory_spares_the_shim(engine: Engine) -> None:
    hog = "dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?; sleep 100"
    container = await engine.container("sh", "-c", hog, resources={"memory": {"limit": 8 << 20}})
    with container.attach() as client:
        init = await container.start()
        said = b""
        while b"137" not in said:
            said += await asyncio.to_thread(client.recv, 100)
    started, client = await container.exec("sleep", "100")
    client.close()
    assert f"/ipycontainer/{container.cgroup}" in Path(f"/proc/{started.pid}/cgroup").read_text()
    for kind in ("pid", "mnt", "net"):
        ours, theirs = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (started.pid, init.pid))
        assert ours == theirs


@pytest.mark.parametrize("lacking", ["network", "pid", "ipc"])
async def test_a_namespace_may_be_the_host_s(engine: Engine, lacking: str) -> None:
    container = await engine.container("sleep", "100")
    namespaces = [{"type": kind} for kind in KINDS if kind != lacking]
    container.request.spec["linux"]["namespaces"] = namespaces
    started = await container.start()
    names = {"network": "net", "mount": "mnt"}
    for kind in KINDS:
        file = f"ns/{names.get(kind, kind)}"
        shared = os.readlink(f"/proc/{started.pid}/{file}") == os.readlink(f"/proc/self/{file}")
        assert shared == (kind == lacking)
    assert f"/ipycontainer/{container.cgroup}" in Path(f"/proc/{started.pid}/cgroup").read_text()
    _, client = await container.exec("sh", "-c", "sleep 100 & echo $$")
    with client:
        assert await asyncio.to_thread(client.recv, 100)
    shim = shim_of(started.pid)
    await container.connection.signal(signal.SIGKILL)
    assert (await container.exited()).code == 137
    await vanished({shim})
    assert not cgroup_folders(container.cgroup)


async def test_a_container_does_not_outlive_its_shim(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    init = await container.start()
    pidfd = os.pidfd_open(init.pid)
    shim = shim_of(init.pid)
    os.kill(shim, signal.SIGKILL)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(pidfd, lambda: ended.done() or ended.set_result(None))
    await asyncio.wait_for(ended, 10)
    loop.remove_reader(pidfd)
    os.close(pidfd)
    await gone(container)
    assert detect().open(container.cgroup).remove()


async def test_nothing_is_left_of_a_container(engine: Engine) -> None:
    container = await engine.container("sleep", "100")
    started = await container.start()
    shim = shim_of(started.pid)
    pids = {shim, *children(shim)}
    folder = engine.paths.run / "shims" / container.id[:16]
    assert (folder / "shim.sock").exists()
    await container.connection.signal(signal.SIGKILL)
    await gone(container)
    assert not folder.exists()
    await vanished(pids)
    assert not any(Path(path).exists() for path in cgroup_folders(started.cgroup))


def cgroup_folders(name: str) -> list[str]:
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/ipycontainer/{name}")]
