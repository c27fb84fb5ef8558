"""Kernels of ours beside plain ipykernel on this computer, of the same environment."""

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
SHELL = "shell"
DOCKERFILE = "dockerfile"
PLAIN = "python3"
KINDS = {NAME: "python", SHELL: "shell", DOCKERFILE: "dockerfile"}
TRIPS = {NAME: "1 + 1", SHELL: "echo 2", DOCKERFILE: "%show", PLAIN: "1 + 1"}
"""Cells that print a line or return a value, by the kernel that runs them."""
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
        trips = _round_trips(world)
        plain = trips.pop(PLAIN)
        yield Row("a cell's round trip in plain ipykernel", {"ours": plain})
        for name, trip in trips.items():
            what = f"the same, `{TRIPS[name]}` in a kernel of kind {KINDS[name]}"
            yield Row(what, {"ours": trip})
            above = Result((trip.median - plain.median,))
            yield Row("of it above plain ipykernel's", {"ours": above}, ABOVE)
        each = Result((_share(world),))
        yield Row(f"each of {MANY} kernels, PSS without its own", {"ours": each}, MEMORY, "MB")


@contextmanager
def _installed(world: World) -> Iterator[None]:
    """Have this process find kernelspecs of ours, and this engine."""
    images = {NAME: IMAGE, SHELL: world.busybox, DOCKERFILE: ""}
    with tempfile.TemporaryDirectory(prefix="ipyc-b", dir="/tmp") as folder:
        for name, kind in KINDS.items():
            settings = Settings(
                images[name],
                name=name,
                display_name=name,
                kind=kind,
                network="none",
                notebook="none",
            )
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


def _execute(client: BlockingKernelClient, code: str = "1 + 1") -> None:
    reply = client.execute(code, reply=True, timeout=60)
    assert reply["content"]["status"] == "ok", reply["content"]


def _end(manager: KernelManager, client: BlockingKernelClient) -> None:
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def _round_trips(world: World) -> dict[str, Result]:
    """Time a small cell in kernels that all run, by turns."""
    with ExitStack() as stack:
        contenders = {}
        for name, code in TRIPS.items():
            manager, client = start_new_kernel(kernel_name=name)
            stack.callback(_end, manager, client)
            contenders[name] = _trip(client, code)
            if name == DOCKERFILE:
                _execute(client, f"FROM {world.busybox}")
        return by_turns(contenders, ROUND_TRIPS)


def _trip(client: BlockingKernelClient, code: str) -> Contender:
    def trip(clock: Timed) -> None:
        with clock():
            _execute(client, code)

    return trip


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
