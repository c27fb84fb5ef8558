"""Checkpoints of a container after a command that wrote 1 MB, beside few and many other files."""

from collections.abc import Iterator
from typing import Any

from ipycontainer import checkpoints
from measure import Contender, Timed, by_turns
from table import Goal, Row
from world import World

_MANY = 10_000
_FEW = "mkdir /many"
_FILES = f"mkdir /many; cd /many; for i in $(seq {_MANY}); do echo $i > $i; done"
_WRITE = ["sh", "-c", "head -c 1000000 /dev/urandom > /written"]


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield a row without further files, and one with 10,000 that do not change."""
    goal = Goal(0.02, words="≤ 20 ms")
    for what, script in (("few", _FEW), (f"{_MANY:,} unchanged", _FILES)):
        container = world.ours.client.containers.run(
            world.busybox, ["sleep", "3600"], network_mode="none", detach=True
        )
        container.exec_run(["sh", "-c", script])
        results = by_turns({"ours": _keeping(world, container)}, rounds, warm=2)
        container.remove(force=True)
        name = f"checkpoint after 1 MB was written, {what} files"
        yield Row(name, results, (goal,) if script is _FEW else ())


def _keeping(world: World, container: Any) -> Contender:
    def run(clock: Timed) -> None:
        container.exec_run(_WRITE)
        with clock():
            checkpoints.create(world.ours.client.api, container.id)

    return run
