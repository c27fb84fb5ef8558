"""A kernel in a container beside plain ipykernel on this computer, of the same environment."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from ipycontainer_kernel import specs
from ipycontainer_kernel.settings import Settings
from measure import Contender, Result, Timed, by_turns
from subjects.memory import own, pss
from table import Goal, Row
from world import World

IMAGE = "host"
NAME = "contained"
PLAIN = "python3"
ROUND_TRIPS = 50
MANY = 4
START = (Goal(1.25, "plain", "≤ 1.25 of plain ipykernel"),)
ABOVE = (Goal(0.001, "", "≤ 1 ms above plain ipykernel"),)
MEMORY = (Goal(6 << 20, "", "≤ 6 MB"),)


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield a start to the first result, a round trip, and what a kernel costs the engine."""
    for _ in world.ours.client.api.pull(IMAGE, "latest", stream=True):
        pass
    with _installed(world):
        contenders = {"ours": _start(NAME), "plain": _start(PLAIN)}
        started = by_turns(contenders, rounds)
        yield Row("a kernel: request to first result", started, START)
        yield Row("the same, plain ipykernel", {"ours": started["plain"]})
        trips = {name: _round_trips(spec) for name, spec in (("ours", NAME), ("plain", PLAIN))}
        yield Row("a cell's round trip in that kernel", {"ours": trips["ours"]})
        yield Row("the same, plain ipykernel", {"ours": trips["plain"]})
        above = Result((trips["ours"].median - trips["plain"].median,))
        yield Row("a cell's round trip above plain ipykernel's", {"ours": above}, ABOVE)
        each = Result((_share(world),))
        yield Row(f"each of {MANY} kernels, PSS without its own", {"ours": each}, MEMORY, "MB")


@contextmanager
def _installed(world: World) -> Iterator[None]:
    """Have this process find a kernelspec of ours, and this engine."""
    with tempfile.TemporaryDirectory(prefix="ipyc-b", dir="/tmp") as folder:
        settings = Settings(IMAGE, name=NAME, display_name=NAME, network="none", notebook="none")
        specs.write(settings, specs.Place(Path(folder) / "kernels"), icons={})
        found = {"JUPYTER_PATH": folder, "XDG_CACHE_HOME": folder, "XDG_RUNTIME_DIR": folder}
        places = {
            name: world.ours.variables[name] for name in ("IPYCONTAINER_ROOT", "IPYCONTAINER_RUN")
        }
        with patch.dict(os.environ, {**found, **places}):
            yield


def _start(name: str) -> Contender:
    def start(clock: Timed) -> None:
        with clock():
            manager, client = start_new_kernel(kernel_name=name)
            _execute(client)
        _end(manager, client)

    return start


def _execute(client: BlockingKernelClient) -> None:
    reply = client.execute("1 + 1", reply=True, timeout=60)
    assert reply["content"]["status"] == "ok"


def _end(manager: KernelManager, client: BlockingKernelClient) -> None:
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def _round_trips(name: str) -> Result:
    manager, client = start_new_kernel(kernel_name=name)
    try:
        figures = []
        for _ in range(ROUND_TRIPS):
            clock = Timed()
            with clock():
                _execute(client)
            figures.append(clock.seconds)
    finally:
        _end(manager, client)
    return Result(tuple(figures))


def _share(world: World) -> float:
    """Return by how much the engine's processes grow for each kernel, in bytes."""
    before = pss(own(world.ours))
    with ExitStack() as stack:
        for _ in range(MANY):
            stack.callback(_end, *start_new_kernel(kernel_name=NAME))
        listed = world.ours.client.api.containers()
        inside = {
            int(pid)
            for entry in listed
            for pid in _pids(world.ours.client.api.top(entry["Id"], "-eo pid"))
        }
        return (pss(own(world.ours) - inside) - before) / MANY


def _pids(top: dict[str, list[list[str]]]) -> list[str]:
    return [row[0] for row in top["Processes"]]
