"""What /proc tells of a process, as facts: its namespaces, ids, mounts, limits and privileges.

The texts are the launcher's, read in the container just before its command, or the engine's, read
of a container that runs. A container can mount what it likes over /proc, so nothing is believed to
be well-formed: what cannot be read is left out.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.linux.capabilities import NUMBERS, names

Seen = Mapping[str, str | None]
"""Contents by path, None for what could not be read."""

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_SELF = "/proc/self/"
_FILES = ("mountinfo", "uid_map", "gid_map", "status", "net/dev")
_V1_LIMITS = {
    "memory": ("memory.limit_in_bytes",),
    "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares"),
    "pids": ("pids.max",),
}
_V2_LIMITS = ("memory.max", "cpu.max", "cpu.weight", "pids.max")
_NO_LIMIT = 1 << 62  # v1 writes the largest number of pages
_INODE = re.compile(r"\w+:\[(\d+)\]")
_OCTAL = re.compile(r"\\([0-7]{3})")


def wanted(cgroups: Cgroups) -> list[str]:
    """Return the paths in a container that `facts` is made of."""
    links = [f"ns/{kind}" for kind in KINDS]
    return [*(_SELF + name for name in (*_FILES, *links)), *_limit_files(cgroups)]


def _limit_files(cgroups: Cgroups) -> list[str]:
    found = []
    for mount in cgroups.mounts:
        if mount.type == "cgroup2":
            found += [f"{mount.destination}/{name}" for name in _V2_LIMITS]
        elif mount.type == "cgroup":
            for controller in os.path.basename(mount.destination).split(","):
                found += [f"{mount.destination}/{n}" for n in _V1_LIMITS.get(controller, ())]
    return found


def of_process(pid: int) -> dict[str, str | None]:
    """Return what /proc tells of a process as the engine sees it; nothing once it has ended."""
    files = {f"{_SELF}{name}": _read(f"/proc/{pid}/{name}") for name in _FILES}
    return files | {f"{_SELF}ns/{kind}": link for kind, link in namespaces_of(pid).items()}


def namespaces_of(pid: int | str) -> dict[str, str | None]:
    """Return the links of a process's namespaces by kind; `self` is the engine."""
    return {kind: _link(f"/proc/{pid}/ns/{kind}") for kind in KINDS}


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def facts(seen: Seen, engine: Seen) -> dict[str, Any]:
    """Return what the texts tell, in the shapes of the timeline; `engine` has its namespaces."""
    status = _fields(seen.get(_SELF + "status"))
    return {
        "Namespaces": _namespaces(seen, engine),
        "IdMap": {
            "Users": _id_map(seen.get(_SELF + "uid_map")),
            "Groups": _id_map(seen.get(_SELF + "gid_map")),
        },
        "Mounts": _mounts(seen.get(_SELF + "mountinfo") or ""),
        "Interfaces": _interfaces(seen.get(_SELF + "net/dev") or ""),
        "Limits": _limits(seen),
        "Capabilities": _capabilities(status),
        "User": _user(status),
        "NoNewPrivileges": status.get("NoNewPrivs") == "1",
        "SeccompMode": _number(status.get("Seccomp", "")),
    }


def _namespaces(seen: Seen, engine: Seen) -> list[dict[str, Any]]:
    found = []
    for kind in KINDS:
        inside = _inode(seen.get(f"{_SELF}ns/{kind}"))
        outside = _inode(engine.get(kind))
        if inside is not None:
            entry = {"Kind": kind, "Inside": inside, "Outside": outside, "Own": inside != outside}
            found.append(entry)
    return found


def _inode(link: str | None) -> int | None:
    match = _INODE.fullmatch(link or "")
    return int(match[1]) if match else None


def _id_map(text: str | None) -> list[dict[str, int]]:
    rows = [line.split() for line in (text or "").splitlines()]
    return [
        {"Inside": int(row[0]), "Outside": int(row[1]), "Count": int(row[2])}
        for row in rows
        if len(row) == 3 and all(word.isdecimal() for word in row)
    ]


def _mounts(text: str) -> list[dict[str, str]]:
    """Return the mounts that a process has, as mountinfo lists them; source: proc(5)."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) >= 6 and len(kind) == 3:
            found.append(
                {
                    "Target": _plain(fields[4]),
                    "Type": kind[0],
                    "Source": _plain(kind[1]),
                    "Part": _plain(fields[3]),
                    "Options": fields[5],
                }
            )
    return found


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def _interfaces(text: str) -> list[str]:
    return [line.split(":")[0].strip() for line in text.splitlines() if ":" in line]


def _limits(seen: Seen) -> dict[str, Any]:
    """Return the limits as the kernel has them, None for one that is not set."""
    files = {os.path.basename(path): (text or "").strip() for path, text in seen.items()}
    limits = {
        "Memory": _first(files, _bounded, "memory.max", "memory.limit_in_bytes"),
        "Pids": _first(files, _bounded, "pids.max"),
        "Cpus": _first(files, _cpus, "cpu.max", "cpu.cfs_quota_us"),
    }
    read = {name: files[name] for name in sorted(files) if name.count(".") and files[name]}
    return {**limits, "Files": read}


def live_limits(usage: Mapping[str, int], cpus: float | None) -> dict[str, Any]:
    """Return the limits of a cgroup that is there, from its `usage`; `cpus` is what was asked."""
    return {
        "Memory": _under(usage.get("memory_limit")),
        "Pids": _under(usage.get("pids_limit")),
        "Cpus": cpus,
        "Files": {},
    }


def _under(limit: int | None) -> int | None:
    return None if limit is None or limit >= _NO_LIMIT else limit


def _first(
    files: Mapping[str, str], read: Callable[[str, Mapping[str, str]], Any], *known: str
) -> Any:
    return next((read(files[name], files) for name in known if files.get(name)), None)


def _bounded(text: str, _files: Mapping[str, str]) -> int | None:
    return _under(_number(text))


def _cpus(text: str, files: Mapping[str, str]) -> float | None:
    quota, _, period = text.partition(" ")
    length = _number(period or files.get("cpu.cfs_period_us", ""))
    allowed = _number(quota)
    return None if not length or allowed is None else allowed / length


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _fields(text: str | None) -> dict[str, str]:
    lines = (line.partition(":") for line in (text or "").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _capabilities(status: Mapping[str, str]) -> dict[str, list[str]]:
    sets = {
        "Effective": "CapEff",
        "Permitted": "CapPrm",
        "Bounding": "CapBnd",
        "Inheritable": "CapInh",
        "Ambient": "CapAmb",
    }
    return {name: _names(status[field]) for name, field in sets.items() if field in status}


def _names(bits: str) -> list[str]:
    try:
        return sorted(names(int(bits, 16)), key=NUMBERS.__getitem__)
    except ValueError:
        return []


def _user(status: Mapping[str, str]) -> dict[str, Any]:
    def ids(field: str) -> list[int]:
        return [int(word) for word in status.get(field, "").split() if word.isdecimal()]

    users, groups = ids("Uid"), ids("Gid")
    if len(users) < 2 or len(groups) < 2:
        return {}
    return {"User": users[1], "Group": groups[1], "Groups": ids("Groups")}
