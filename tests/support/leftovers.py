"""What an engine could leave behind: processes, mounts, cgroups and files of its folders."""

import binascii
import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ipycontainer_runtime.linux import netlink
from ipycontainer_runtime.network.bridge import ALIAS
from ipycontainer_runtime.network.firewall import table_of

PATIENCE = 10
LOOK_AGAIN = 0.02
CGROUPS = Path("/sys/fs/cgroup")


def processes(folder: Path) -> list[int]:
    """Return the processes that were started for, or have a mount from, something in `folder`.

    What is mounted for this process too is no sign: every process of the machine may have it.
    """
    mark = os.fsencode(folder)
    own = _marked_mounts(os.getpid(), mark)
    return [
        pid
        for pid in _pids()
        if mark in read(pid, "environ") or not _marked_mounts(pid, mark) <= own
    ]


def _marked_mounts(pid: int, mark: bytes) -> set[tuple[bytes, bytes]]:
    """Return what is mounted where for a process and has to do with a folder.

    Without the numbers, and the marks of propagation, by which copies of a mount differ.
    """
    found = set()
    for line in read(pid, "mountinfo").splitlines():
        if mark in line:
            place, _, what = line.partition(b" - ")
            found.add((b" ".join(place.split()[3:5]), what))
    return found


def _pids() -> Iterator[int]:
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != own:
            yield int(name)


def read(pid: int, name: str) -> bytes:
    """Return a file of process `pid` in /proc, empty when it has gone or is somebody else's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has gone, or it is somebody else's and so not ours
        return b""


def memory(pid: int, *, most: bool = False) -> int:
    """Return the bytes of memory that process `pid` has, or the `most` that it ever had."""
    field = "VmHWM:" if most else "VmRSS:"
    return int(read(pid, "status").decode().partition(field)[2].split()[0]) << 10


def parent(pid: int) -> int:
    """Return the parent of process `pid`; ProcessLookupError when it has gone."""
    fields = read(pid, "stat").rpartition(b")")[2].split()
    if not fields:
        raise ProcessLookupError(pid)
    return int(fields[1])


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`."""
    found = []
    for other in _pids():
        with contextlib.suppress(ProcessLookupError):
            if parent(other) == pid:
                found.append(other)
    return found


def alive(pid: int) -> bool:
    """Tell whether process `pid` is there and has not ended."""
    return pid > 0 and os.path.exists(f"/proc/{pid}") and b") Z" not in read(pid, "stat")


def command(pid: int) -> str:
    """Return how process `pid` was started, for a message."""
    return f"{pid} {read(pid, 'cmdline').replace(bytes(1), b' ').decode(errors='replace')[:200]}"


def outlived(pids: list[int], seconds: float = PATIENCE) -> list[int]:
    """Wait until these processes have ended, and return those that did not."""
    deadline = time.monotonic() + seconds
    return [pid for pid in pids if not _ends(pid, deadline)]


def _ends(pid: int, deadline: float) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        left = max(0, deadline - time.monotonic())
        return bool(select.select([pidfd], [], [], left)[0])
    finally:
        os.close(pidfd)


def kill(pids: list[int]) -> None:
    """End these processes by force."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def mounts(folder: Path) -> list[str]:
    """Return the mount points below `folder` in our own mount namespace."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in points if point.startswith(f"{folder}/")]


def cgroups(run: Path) -> list[Path]:
    """Return the cgroups of the containers of the engine whose run folder is `run`."""
    # The spawner's own naming, by which engines on other folders are told apart.
    prefix = f"{binascii.crc32(os.fsencode(run)):08x}-"
    # Unlike a glob, a walk goes on when somebody else's cgroup vanishes under it.
    walked = os.walk(CGROUPS)
    return [
        Path(top, name) for top, names, _ in walked for name in names if name.startswith(prefix)
    ]


def eventually(complaints: Callable[[], list[str]]) -> list[str]:
    """Return what is complained of once nothing is, or what still is when patience has run out.

    Shims and deletions end a little after the reply, and announce it to nobody.
    """
    deadline = time.monotonic() + PATIENCE
    while (found := complaints()) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN)
    return found


def interfaces(root: Path) -> list[str]:
    """Return the bridges of the engine of a data root that are on the machine."""
    with netlink.opened() as socket:
        return [link.name for link in socket.links() if link.alias == f"{ALIAS}{root}"]


def tables(root: Path) -> list[str]:
    """Return the tables of rules that an engine of a data root has left."""
    if os.geteuid() or not shutil.which("nft"):
        return []
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line.endswith(table_of(root))]
