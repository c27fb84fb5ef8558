"""How a new user namespace gets its ids: all of ours, a range of subordinate ones, or one.

A process may map its own id and no other. More takes CAP_SETUID outside the namespace, which root
of a container has, or the set-uid helpers newuidmap and newgidmap, which ask /etc/subuid.
"""

import os
import shutil
import subprocess
from pathlib import Path

from ..errors import Unavailable
from . import subids
from .capabilities import NUMBERS
from .subids import IdRange

# Ids that a container can name; a map of all would look like that of the machine's first namespace.
_MOST = 2**31
_HELPERS = (("newuidmap", "uid"), ("newgidmap", "gid"))


def write(pid: int) -> None:
    """Map the ids of process `pid`, which has just entered a user namespace of its own.

    Unavailable when a helper refuses what /etc/subuid grants.
    """
    if may_map_all():
        for kind in ("uid", "gid"):
            found = subids.read_map(own(kind))
            lines = (f"{r.inside} {r.inside} {min(r.size, _MOST)}" for r in found)
            _write(pid, f"{kind}_map", "\n".join(lines))
    elif lack():
        # Whoever maps without a helper must give up setgroups(2): a file can be closed to a group.
        _write(pid, "setgroups", "deny")
        _write(pid, "uid_map", f"0 {os.geteuid()} 1")
        _write(pid, "gid_map", f"0 {os.getegid()} 1")
    else:
        uid = os.getuid()
        _ask("newuidmap", pid, subids.mapping(uid, subids.granted(subids.SUBUID, uid)))
        _ask("newgidmap", pid, subids.mapping(os.getgid(), subids.granted(subids.SUBGID, uid)))


def lack() -> str:
    """Say why this user can have one id only, with the cure; empty when there is a range."""
    if may_map_all():
        return ""
    for program, _kind in _HELPERS:
        if shutil.which(program) is None:
            return f"{program} is not installed: `apt install uidmap`"
    uid = os.getuid()
    for file, kind in ((subids.SUBUID, "uid"), (subids.SUBGID, "gid")):
        if not subids.granted(file, uid):
            name = subids.user_name(uid)
            return (
                f"{file} gives no ids to {name}: as root run"
                f" `usermod --add-sub{kind}s 100000-165535 {name}`"
                " (choose a range that no other line has)"
            )
    if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        return (
            "a process above this one has set no_new_privs, under which newuidmap has no power: "
            "start the engine elsewhere, or allow it (allowPrivilegeEscalation in Kubernetes)"
        )
    return ""


def own(kind: str) -> str:
    """Return the path of this process's map of `uid` or `gid`."""
    return f"/proc/self/{kind}_map"


def holds(*names: str) -> bool:
    """Tell whether this process has all of these capabilities in effect."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)
    return all(effective >> NUMBERS[name] & 1 for name in names)


def may_map_all() -> bool:
    """Tell whether this process may give a user namespace all ids that it has itself."""
    # SETFCAP: without it nobody may map the id 0 (Linux 5.12).
    return os.geteuid() == 0 and holds("CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP")


def _write(pid: int, name: str, text: str) -> None:
    Path(f"/proc/{pid}/{name}").write_text(text)


def _ask(program: str, pid: int, ranges: list[IdRange]) -> None:
    path = shutil.which(program) or program
    numbers = [str(number) for one in ranges for number in one]
    done = subprocess.run([path, str(pid), *numbers], capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise Unavailable(
            f"{program} refused {' '.join(numbers)}: {said}; see that {path} is set-uid root"
            " (`apt install --reinstall uidmap`) and that /etc/subuid and /etc/subgid agree"
        )
