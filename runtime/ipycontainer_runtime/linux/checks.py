"""The lines of the doctor, each from what was found: what, state, what a lack costs, the cure."""

import os
from pathlib import Path
from typing import NamedTuple

from . import probes, subids, userns
from .grade import MASKED_CURE, ONE_ID, RANGE, ROOT, Grade

_MIB = 1024 * 1024
_LITTLE, _NONE = 1024 * _MIB, 100 * _MIB
_COSTS = {
    "userns": "without root no container can be run",
    "namespaces": "no container is started",
    "overlay": "each container begins with a copy of its image, which takes time and room",
    "cgroup": "limits of memory, processors and processes do not bind; no stats and no pause",
    "seccomp": "no container starts but with --security-opt seccomp=unconfined",
}
# Controllers in the words of linux/cgroup, and what goes without each.
_LIMITS = {
    "memory": "--memory does not bind: one container can take all of the machine's memory",
    "swap": "--memory-swap does not bind: what --memory keeps out of memory may go to swap",
    "cpu": "--cpus and --cpu-shares do not bind",
    "cpuset": "--cpuset-cpus and --cpuset-mems do not bind",
    "pids": "--pids-limit does not bind: a fork bomb in a container reaches the machine's limit",
    "io": "limits of block devices do not bind",
    "freezer": "no pause, and a commit sees files change under it",
}
_SWAP_CURE = "boot with swapaccount=1, on a machine that has swap"
_CONTROLLER_CURE = (
    "have it handed down to the engine's cgroup (systemd: Delegate=yes), or start the engine as"
    " root on a kernel that has it"
)


class Check(NamedTuple):
    """One line: `state` is `ok`, `limited` or `missing`; `cost` and `cure` are empty when ok."""

    name: str
    state: str
    detail: str
    cost: str = ""
    cure: str = ""


def probed(probe: probes.Probe) -> Check:
    """Return what a trial found."""
    if probe.ok:
        return Check(probe.name, "ok", probe.detail)
    # Root needs no user namespace, and a container runs without limits and on copies.
    optional = probe.name in ("cgroup", "overlay")
    if probe.name == "userns":
        optional = not userns.must_enter()
    state = "limited" if optional else "missing"
    return Check(probe.name, state, probe.detail, _COSTS[probe.name], probe.cure)


def grade(found: Grade) -> Check:
    """Tell which of the grades this is."""
    if found.name in (ROOT, RANGE):
        details = {ROOT: "root", RANGE: "rootless, with a range of ids"}
        return Check("grade", "ok", details[found.name])
    if found.name == ONE_ID:
        cost = "files made in containers are recorded as 0:0, and nothing runs as another user"
        return Check("grade", "limited", "rootless, with one id", cost, found.reason)
    cost = "images can be pulled and looked at, and no container can be run"
    return Check("grade", "missing", "neither root nor rootless", cost, found.reason)


def ids(uids: tuple[subids.IdRange, ...]) -> Check:
    """Tell how many ids the engine's user namespace maps."""
    if uids == userns.WHOLE:
        return Check("ids", "ok", "all ids of the machine")
    count = sum(part.size for part in uids)
    if count >= 65536:
        return Check("ids", "ok", f"{count} ids are mapped")
    cost = "files of images that belong to higher ids cannot be unpacked"
    if count == 1:
        cost = "every file of a container has the same owner"
    cure = "as root run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`"
    return Check("ids", "limited", f"{count} ids are mapped", cost, cure)


def proc(masked: bool) -> Check:
    """Tell whether containers get a /proc of their own."""
    if not masked:
        return Check("proc", "ok", "containers get a /proc of their own")
    detail = "a container around the engine masks /proc or /sys"
    cost = "containers are shown the processes of the container around them"
    return Check("proc", "limited", detail, cost, MASKED_CURE)


def cgroups(probe: probes.Probe, undelegated: str) -> Check:
    """Tell where cgroups are made, and why systemd gave none."""
    check = probed(probe)
    if probe.ok or not undelegated:
        return check
    return check._replace(detail=f"{check.detail}; {undelegated}")


def limits(controllers: frozenset[str], cure: str) -> list[Check]:
    """Tell of each limit whether it binds; `cure` is how there are cgroups at all, if not so."""
    checks = []
    for name, cost in _LIMITS.items():
        if name in controllers:
            checks.append(Check(f"limit {name}", "ok", "it binds"))
        else:
            own = cure or (_SWAP_CURE if name == "swap" else _CONTROLLER_CURE)
            detail = "no cgroups" if cure else f"no controller {name}"
            checks.append(Check(f"limit {name}", "limited", detail, cost, own))
    return checks


def writable(folder: Path) -> Check | None:
    """Return the line of a data root that cannot be written, None of one that can."""
    existing = _existing(folder)
    if os.access(existing, os.W_OK | os.X_OK):
        return None
    detail = f"{existing} cannot be written"
    cure = "choose another data root with IPYCONTAINER_ROOT"
    return Check("disk", "missing", detail, "the engine does not start", cure)


def disk(folder: Path) -> Check:
    """Tell how much room the data root's file system has."""
    if (lacking := writable(folder)) is not None:
        return lacking
    found = os.statvfs(_existing(folder))
    free = found.f_bavail * found.f_frsize
    detail = f"{free // _MIB} MiB free for {folder}"
    if free >= _LITTLE:
        return Check("disk", "ok", detail)
    state = "missing" if free < _NONE else "limited"
    cure = "remove images with `rmi`, or choose another data root with IPYCONTAINER_ROOT"
    return Check("disk", state, detail, "large images cannot be pulled", cure)


def _existing(folder: Path) -> Path:
    # Not Path.exists, which raises where a folder may not be looked into.
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))
