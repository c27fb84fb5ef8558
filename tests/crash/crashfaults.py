"""What goes wrong: processes killed, connections broken, a disk or a descriptor table full."""

import os
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crashdisk import Disk

from support import descriptors, leftovers
from support.engines import Engine

KILLS = ("engine", "spawner", "shim", "shims", "engine and spawner", "all")
HELD = ("disk", "descriptors of the engine", "descriptors of the spawner")
CONNECTIONS = "connections to shims"
REFUSING = (*HELD, CONNECTIONS)
"""Kills nobody, but a start that is under way may fail."""
KINDS = (*KILLS, *REFUSING)


class Processes:
    """The processes of one engine, as they are now."""

    def __init__(self, engine: Engine) -> None:
        mark = os.fsencode(engine.paths.run)
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
        self.forked = [pid for pid in pids if _is_forked(pid, mark)]
        """The spawner, shims, and the first processes that wait for a container."""
        leaders = [pid for pid in self.forked if _leads(pid)]
        self.engine = _engine(engine)
        self.spawner = [pid for pid in leaders if _parent(pid) in self.engine]
        self.shims = [pid for pid in leaders if pid not in self.spawner]


def _engine(engine: Engine) -> list[int]:
    """Return the engine's process, or nothing; a number that kill() takes for more never."""
    try:
        pid = int(engine.paths.pid.read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [pid] if pid > 1 and b"ipycontainer_runtime" in leftovers.read(pid, "cmdline") else []


def _is_forked(pid: int, mark: bytes) -> bool:
    words = leftovers.read(pid, "cmdline").split(b"\0")
    return mark in words and any(word.endswith(b"/spawner.py") for word in words)


def _leads(pid: int) -> bool:
    """Tell a spawner and shims from first processes, which are in no session of their own."""
    with suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def _parent(pid: int) -> int:
    with suppress(ProcessLookupError):
        return leftovers.parent(pid)
    return -1


@contextmanager
def fault(kind: str, engine: Engine, disk: Disk, rng: random.Random) -> Iterator[list[int]]:
    """Make something go wrong; yields who was killed. What is held is mended after the block."""
    there = Processes(engine)
    if kind == "disk":
        with disk.full(rng.choice((0, 0, 4096, 65536, 1 << 20))):
            yield []
    elif kind == CONNECTIONS:
        for pid in there.engine:
            with suppress(ProcessLookupError):
                descriptors.break_connections(pid, set(there.shims))
        yield []
    elif kind in HELD:
        pids = there.engine if kind.endswith("engine") else there.spawner
        with _few_descriptors(engine, pids, rng.randrange(12)):
            yield []
    else:
        victims = {
            "engine": there.engine,
            "spawner": there.spawner,
            "shim": rng.sample(there.shims, min(1, len(there.shims))),
            "shims": there.shims,
            "engine and spawner": [*there.engine, *there.spawner],
            "all": [*there.engine, *there.spawner, *there.shims],
        }[kind]
        for pid in victims:
            _kill(pid)
        assert not leftovers.outlived(victims)
        yield victims


def _kill(pid: int) -> None:
    # By descriptor: to kill() the numbers below 2 mean more than one process.
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


@contextmanager
def _few_descriptors(engine: Engine, pids: list[int], more: int) -> Iterator[None]:
    """Let processes open only so many more descriptors than they have."""
    before = {}
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    for pid in pids:
        with suppress(ProcessLookupError, FileNotFoundError):
            count = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            old = before[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (count + more, old[1]))
    try:
        yield
    finally:
        for pid, old in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        # What was forked meanwhile has the limit as well, and may be forking now.
        while any(_mended(pid, usual) for pid in Processes(engine).forked):
            pass


def _mended(pid: int, limit: tuple[int, int]) -> bool:
    """Give a process its usual limit; tell whether it had another."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE, limit) != limit
    except ProcessLookupError:
        return False
