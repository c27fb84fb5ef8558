"""What this machine gives the engine and what it lacks: what, state, what that costs, the cure.

The trials fork, which a process with threads and a loop must not: `examine` makes them in a fresh
interpreter, with the caller's namespaces and cgroup.
"""

import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import Unavailable
from . import probes, subids, userns

_MIB = 1024 * 1024
_LITTLE, _NONE = 1024 * _MIB, 100 * _MIB
_SECONDS = 30
_COSTS = {
    "userns": "without root there is no engine",
    "overlay": "no container can be started",
    "cgroup": "limits of memory, processors and processes do not bind; no stats and no pause",
    "seccomp": "no container starts but with --security-opt seccomp=unconfined",
}


_MANAGER = re.compile(r"user@(\d+)\.service")


def _lingers(uid: int) -> bool:
    return Path("/var/lib/systemd/linger", pwd.getpwuid(uid).pw_name).exists()


class Check(NamedTuple):
    """One line: `state` is `ok`, `limited` or `missing`; `cost` and `cure` are empty when ok."""

    name: str
    state: str
    detail: str
    cost: str = ""
    cure: str = ""


def examine(root: Path, undelegated: str = "") -> list[Check]:
    """Return what an engine with this data root has here; takes a quarter of a second.

    `undelegated` is why systemd gave the engine no cgroup, where it was asked for one. Raises
    Unavailable when the trials themselves end in an error.
    """
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {__name__} import main\n"
        f"main({os.fspath(root)!r}, {undelegated!r})"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise Unavailable(f"the machine cannot be examined: {last}; see `ipycontainer engine logs`")
    return [Check(*line) for line in json.loads(done.stdout)]


def main(root: str, undelegated: str) -> None:
    """Print the checks as JSON; `examine` calls it in a process of its own."""
    folder = Path(root)
    checks = [
        _probed(probes.probe("userns")),
        ids(subids.read_map("/proc/self/uid_map")),
        _probed(probes.overlay(folder)),
        cgroups(probes.probe("cgroup"), undelegated),
        _probed(probes.probe("seccomp")),
        survival(Path("/proc/self/cgroup").read_text()),
        disk(folder),
    ]
    print(json.dumps(checks))


def _probed(probe: probes.Probe) -> Check:
    if probe.ok:
        return Check(probe.name, "ok", probe.detail)
    # Root needs no user namespace, and a container runs without limits.
    optional = probe.name == "cgroup" or (probe.name == "userns" and os.geteuid() == 0)
    state = "limited" if optional else "missing"
    return Check(probe.name, state, probe.detail, _COSTS[probe.name], probe.cure)


def cgroups(probe: probes.Probe, undelegated: str) -> Check:
    """Tell where cgroups are made and which limits bind, and why systemd gave none."""
    check = _probed(probe)
    if probe.ok or not undelegated:
        return check
    return check._replace(detail=f"{check.detail}; {undelegated}")


def ids(uids: tuple[subids.IdRange, ...]) -> Check:
    """Tell how many ids the engine's user namespace maps."""
    if uids == userns.WHOLE:
        return Check("ids", "ok", "all ids of the machine")
    count = sum(part.size for part in uids)
    if count >= 65536:
        return Check("ids", "ok", f"{count} ids of /etc/subuid")
    cost = "files of images that belong to higher ids cannot be unpacked"
    cure = "as root run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`"
    return Check("ids", "limited", f"{count} ids are mapped", cost, cure)


def survival(cgroups: str, lingers: Callable[[int], bool] = _lingers) -> Check:
    """Tell from a /proc/PID/cgroup whether systemd ends the engine with what started it.

    `lingers` says whether systemd keeps what runs for a user id when he has logged out.
    """
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        units = [part for part in path.split("/") if part.endswith((".service", ".scope"))]
        if controllers not in ("", "name=systemd") or not units:
            continue
        if units[-1].endswith(".service"):
            return _ends_with(units[-1])
        if (manager := _MANAGER.fullmatch(units[0])) and not lingers(int(manager[1])):
            return Check(
                "survival",
                "limited",
                f"the engine is in {units[-1]} of the systemd of user {manager[1]}",
                "when that user has logged out, systemd ends the engine and its containers",
                f"as root run `loginctl enable-linger {manager[1]}`",
            )
    return Check("survival", "ok", "no systemd service ends the engine with its notebook")


def _ends_with(unit: str) -> Check:
    return Check(
        "survival",
        "limited",
        f"the engine is in systemd's unit {unit}",
        "when that unit stops, systemd ends the engine and its containers",
        f"set KillMode=process in {unit}, or start `ipycontainer engine serve` elsewhere",
    )


def disk(folder: Path) -> Check:
    """Tell how much room the data root's file system has."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    detail = f"{free // _MIB} MiB free for {folder}"
    if free >= _LITTLE:
        return Check("disk", "ok", detail)
    state = "missing" if free < _NONE else "limited"
    cure = "remove images with `rmi`, or choose another data root with IPYCONTAINER_ROOT"
    return Check("disk", state, detail, "large images cannot be pulled", cure)
