"""What this machine gives the engine and what it lacks: what, state, what that costs, the cure.

The trials fork, which a process with threads and a loop must not: `examine` makes them in a fresh
interpreter, with the caller's namespaces and cgroup. It needs no engine: what an engine would find
is foreseen.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import Unavailable
from . import cgroup, checks, idmaps, probes, subids, survival, userns
from .checks import Check
from .grade import Grade, foresee

__all__ = ["Check", "examine"]

_SECONDS = 30


def examine(root: Path, grade: Grade | None = None) -> list[Check]:
    """Return what an engine with this data root has here; takes a quarter of a second.

    `grade` is the engine's, if there is one. Raises Unavailable when the trials themselves end in
    an error.
    """
    known = None if grade is None else tuple(grade)
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {__name__} import main\n"
        f"main({os.fspath(root)!r}, {known!r})"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise Unavailable(f"the machine cannot be examined: {last}; see `ipycontainer engine logs`")
    return [Check(*line) for line in json.loads(done.stdout)]


def main(root: str, known: tuple[str, str, bool, str, int] | None) -> None:
    """Print the checks as JSON; `examine` calls it in a process of its own."""
    folder = Path(root)
    grade = foresee() if known is None else Grade(*known)
    controllers = cgroup.detect().controllers
    cgroups = probes.probe("cgroup")
    found = [
        checks.probed(probes.probe("userns")),
        checks.probed(probes.probe("namespaces")),
        checks.grade(grade),
        checks.ids(_ids()),
        checks.proc(grade.masked),
        checks.probed(probes.overlay(_for_trials(folder))),
        checks.cgroups(cgroups, grade.undelegated),
        *checks.limits(controllers, cgroups.cure),
        checks.probed(probes.probe("seccomp")),
        survival.survival(Path("/proc/self/cgroup").read_text(), contained=survival.in_container()),
        checks.disk(folder),
    ]
    print(json.dumps(found))


def _for_trials(folder: Path) -> Path:
    """Return the data root, or where it cannot be written or is not made yet, another folder."""
    usable = folder.is_dir() and checks.writable(folder) is None
    return folder if usable else Path(tempfile.gettempdir())


def _ids() -> tuple[subids.IdRange, ...]:
    """Return the ids of the engine's namespace, or those that it would have."""
    if not userns.must_enter() or idmaps.may_map_all():
        return userns.present().uids
    own = os.getuid()
    return tuple(subids.mapping(own, [] if idmaps.lack() else subids.granted(subids.SUBUID, own)))
