"""What shims leave in the run folder and in cgroups when they are killed, or follow one another."""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from shimbox import Engine, children, process, shim_of, vanished

from ipycontainer_runtime.errors import StartFailed, Unavailable
from ipycontainer_runtime.linux.cgroup import detect
from ipycontainer_runtime.linux.channel import SOCKET_NAME
from ipycontainer_runtime.linux.loop import Loop
from ipycontainer_runtime.shim.endpoint import Endpoint
from ipycontainer_runtime.shim.messages import ExecRequest

# include/uapi/linux/ptrace.h and wait.h.
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000

pytestmark = pytest.mark.needs("root", "busybox")


def endpoint(folder: Path) -> Endpoint:
    return Endpoint(Loop(), str(folder), lambda message, fds, answer: None, lambda: None)


def test_a_shim_that_leaves_late_lets_the_next_one_of_its_container_be(tmp_path: Path) -> None:
    folder = tmp_path / "container"
    first, second = endpoint(tmp_path / "parked-1"), endpoint(tmp_path / "parked-2")
    first.move(str(folder))
    second.move(str(folder))
    first.close()
    assert [path.name for path in folder.iterdir()] == [SOCKET_NAME]
    second.close()
    assert os.listdir(tmp_path) == []


async def test_nothing_is_left_of_parked_shims_that_were_killed(engine: Engine) -> None:
    await engine.run("true")
    spawner = engine.spawner._process
    assert spawner is not None
    shims = children(spawner.pid)
    for shim in shims:
        os.kill(shim, signal.SIGKILL)
    await vanished(shims)
    assert (await engine.run("true")).code == 0
    await engine.close()
    left = os.listdir(engine.paths.run / "shims")
    assert not [name for name in left if name.startswith("parked")]
    names = {f"-{shim}" for shim in shims}
    assert not [name for name in detect().stale("") if name.endswith(tuple(names))]


async def test_cgroups_of_other_engines_whose_shims_were_killed_are_removed(
    engine: Engine,
) -> None:
    hierarchy, gone = detect(), subprocess.Popen(["true"])
    gone.wait()
    deserted = hierarchy.create(f"0a0b0c0d-{gone.pid}")
    kept = hierarchy.create(f"0a0b0c0d-{os.getpid()}")
    try:
        await engine.run("true")
        left = hierarchy.stale("0a0b0c0d-")
        assert left == [kept.name]
    finally:
        deserted.remove()
        kept.remove()


async def test_whoever_waits_for_a_shim_is_told_why_there_is_none(engine: Engine) -> None:
    await engine.run("true")
    spawner = engine.spawner._process
    assert spawner is not None
    usual = resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{spawner.pid}/fd"))
    # Enough for the spawner's own, and too few for a shim's.
    resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE, (used + 3, usual[1]))
    refused = [await tried(engine) for _ in range(4)]  # some are parked
    assert any("Too many open files" in words for words in refused)
    resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE, usual)
    assert (await engine.run("true")).code == 0


async def tried(engine: Engine) -> str:
    try:
        await asyncio.wait_for(engine.run("true"), 30)
    except Unavailable as error:
        return str(error)
    return ""


async def test_a_shim_that_may_open_too_little_refuses_and_leaves_nothing(engine: Engine) -> None:
    container = await engine.container("true")
    await container.connection.status()
    folder = engine.paths.run / "shims" / container.id[:16]
    shim = int(container.connection.cgroup.rpartition("-")[2])
    used = len(os.listdir(f"/proc/{shim}/fd"))
    resource.prlimit(shim, resource.RLIMIT_NOFILE, (used + 1, 4096))
    with pytest.raises(StartFailed, match="Too many open files"):
        await container.start()
    await vanished({shim})
    assert not folder.exists()
    assert detect().open(container.connection.cgroup).pids() == []


async def test_an_exec_that_may_open_too_little_is_refused_and_costs_no_descriptor(
    engine: Engine,
) -> None:
    container = await engine.container("sleep", "100")
    shim = shim_of((await container.start()).pid)
    await container.connection.exec(ExecRequest("first", process("true")))
    usual = resource.prlimit(shim, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{shim}/fd"))
    for more in range(8):
        resource.prlimit(shim, resource.RLIMIT_NOFILE, (used + more, usual[1]))
        with contextlib.suppress(StartFailed):
            await container.connection.exec(ExecRequest(f"e{more}", process("sleep", "0")))
    resource.prlimit(shim, resource.RLIMIT_NOFILE, usual)
    while any(code is None for code in (await container.connection.status()).execs.values()):
        pass  # they are about to end
    assert len(os.listdir(f"/proc/{shim}/fd")) <= used


@contextlib.contextmanager
def held(pid: int) -> Iterator[None]:
    """Hold a process still: one that is stopped by a signal is hung up on when its parent dies."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long] * 4
    assert ptrace(PTRACE_SEIZE, pid, 0, 0) == 0
    assert ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0
    os.waitpid(pid, WALL)
    yield
    ptrace(PTRACE_DETACH, pid, 0, 0)  # in vain where its parent's death has killed it already


async def test_a_container_whose_shim_is_killed_during_its_start_does_not_run(
    engine: Engine,
) -> None:
    container = await engine.container("sleep", "100")
    await container.connection.status()
    shim = int(container.connection.cgroup.rpartition("-")[2])
    tasks = Path(f"/proc/{shim}/task").glob("*/children")  # it is a child of the nursery's thread
    (init,) = (int(pid) for path in tasks for pid in path.read_text().split())
    with held(init):
        starting = asyncio.ensure_future(container.start())
        await container.connection.status()  # so the bundle is on its way
        os.kill(shim, signal.SIGKILL)
        await vanished({shim})
    await vanished({init})
    with pytest.raises(Unavailable, match="the container's shim ended"):
        await starting
