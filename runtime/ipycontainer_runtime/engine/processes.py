"""`top`: the processes of a container, as the host sees them."""

import asyncio
import os
import pwd
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import not_running
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere

DEFAULT = "-ef"
TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]

_TICKS = os.sysconf("SC_CLK_TCK")
_DAY = 24 * 3600


class Listing(NamedTuple):
    """A table of processes; the last column may hold spaces."""

    titles: list[str]
    processes: list[list[str]]


class Processes:
    """Lists the processes of containers."""

    def __init__(self, *, containers: Containers, cgroups: Cgroups) -> None:
        self._containers = containers
        self._cgroups = cgroups

    async def list(self, reference: str, arguments: str = "") -> Listing:
        """Return a running container's processes in the columns that `ps ARGUMENTS` has.

        `-ef`, the default, is read from /proc; all else is asked of the host's `ps`. Raises
        Conflict when the container does not run.
        """
        container = self._containers.get(reference)
        if not container.state.running:
            raise not_running(container)
        pids = set(self._cgroups.hierarchy.open(container.cgroup).pids())
        # On v1 the shim's nursery is one of them. Without cgroups the first process is all we know.
        pids -= {_parent(container.state.pid)}
        pids |= {container.state.pid}
        listing = await self._listing(arguments or DEFAULT, pids)
        self._containers.publish(container, "top")
        return listing

    @staticmethod
    async def _listing(arguments: str, pids: set[int]) -> Listing:
        if arguments == DEFAULT:
            found = (_row(pid) for pid in sorted(pids))
            return Listing(TITLES, [row for row in found if row is not None])
        return await asyncio.to_thread(_asked_of_ps, arguments, pids)


def _asked_of_ps(arguments: str, pids: set[int]) -> Listing:
    words = ["ps", *arguments.split()]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError as error:
        raise NotImplementedHere(
            f"there is no ps on the host for `{' '.join(words)}`: install procps, or leave the "
            "arguments out"
        ) from error
    if done.returncode != 0:
        why = done.stderr.strip().partition("\n")[0][:200]
        raise InvalidParameter(f"{' '.join(words)} failed: {why}")
    first, *lines = done.stdout.splitlines() or [""]
    titles = first.split()
    if "PID" not in titles:
        raise InvalidParameter(f"Couldn't find PID field in the output of {' '.join(words)}")
    rows = (line.split(None, len(titles) - 1) for line in lines)
    at = titles.index("PID")
    return Listing(titles, [row for row in rows if len(row) > at and _number(row[at]) in pids])


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else -1


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name; none when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _row(pid: int) -> list[str] | None:
    fields = _stat(pid)
    if not fields:
        return None
    used = (int(fields[11]) + int(fields[12])) / _TICKS
    lasted = max(1e-9, time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS)
    started = time.localtime(time.time() - lasted)
    shown = "%H:%M" if lasted < _DAY else "%b%d"
    return [
        _user(pid),
        str(pid),
        fields[1],
        str(min(99, int(100 * used / lasted))),
        time.strftime(shown, started),
        _terminal(int(fields[4])),
        f"{int(used) // 3600:02}:{int(used) // 60 % 60:02}:{int(used) % 60:02}",
        _command(pid),
    ]


def _user(pid: int) -> str:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
        return pwd.getpwuid(uid).pw_name
    except FileNotFoundError:
        return "?"
    except KeyError:
        return str(uid)


def _terminal(device: int) -> str:
    # A unix98 pty is major 136 and the minor its number, in the container's own devpts.
    return f"pts/{os.minor(device)}" if os.major(device) == 136 else "?"


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "?"
    return b" ".join(words).decode(errors="replace") or f"[{name}]"
