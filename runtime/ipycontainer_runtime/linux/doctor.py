"""What this machine gives the engine and what it lacks: what, state, what that costs, the cure.

The trials fork, which a process with threads and a loop must not: `examine` makes them in a fresh
interpreter, with the caller's namespaces and cgroup.
"""

import json
import os
import subprocess
import sys
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


class Check(NamedTuple):
    """One line: `state` is `ok`, `limited` or `missing`; `cost` and `cure` are empty when ok."""

    name: str
    state: str
    detail: str
    cost: str = ""
    cure: str = ""


def examine(root: Path) -> list[Check]:
    """Return what an engine with this data root has here; takes a quarter of a second.

    Raises Unavailable when the trials themselves end in an error.
    """
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {__name__} import main\n"
        f"main({os.fspath(root)!r})"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise Unavailable(f"the machine cannot be examined: {last}; see `ipycontainer engine logs`")
    return [Check(*line) for line in json.loads(done.stdout)]


def main(root: str) -> None:
    """Print the checks as JSON; `examine` calls it in a process of its own."""
    folder = Path(root)
    checks = [
        _probed(probes.probe("userns")),
        ids(subids.read_map("/proc/self/uid_map")),
        _probed(probes.overlay(folder)),
        _probed(probes.probe("cgroup")),
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


def survival(cgroups: str) -> Check:
    """Tell from a /proc/PID/cgroup whether systemd ends the engine with what started it."""
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        unit = path.rsplit("/", 1)[-1]
        if controllers in ("", "name=systemd") and unit.endswith(".service"):
            return Check(
                "survival",
                "limited",
                f"the engine is in systemd's unit {unit}",
                "when that unit stops, systemd ends the engine and its containers",
                f"set KillMode=process in {unit}, or start `ipycontainer engine serve` elsewhere",
            )
    return Check("survival", "ok", "no systemd service ends the engine with its notebook")


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
