"""A container's cgroups, at the place that its caller names (`linux.cgroupsPath`).

Callers look there themselves, for figures and for what is left over, and expect runc's way: on v1
a folder of this path in every hierarchy that is mounted, on v2 one. What is done in them is
`linux.cgroup`'s. Device rules are those of the bundle. Where neither a controller nor a program can
be had, every mount of the container is nodev instead, as for this project's own containers.
"""

import errno
import os
from typing import Any

from ..errors import InvalidParameter, NotImplementedHere, Unavailable
from ..linux import devicefilter
from ..linux.cgroup.base import (
    THROTTLES,
    Cgroup,
    CgroupError,
    kill_all,
    mounts,
    own_paths,
    read,
    read_pids,
)
from ..linux.cgroup.base import write as write_cgroup
from ..linux.cgroup.nothing import NoCgroup
from ..linux.cgroup.v1 import V1Cgroup, inherit_cpuset
from ..linux.cgroup.v2 import V2Cgroup, hand_down
from ..linux.devicefilter import DeviceRule

# What linux.cgroup limits, by section; anything else that is asked for is refused by name.
LIMITS = {
    "memory": {"limit", "swap", "reservation", "swappiness", "disableOOMKiller"},
    "cpu": {"shares", "quota", "period", "cpus", "mems"},
    "pids": {"limit"},
    "blockIO": {"weight", "weightDevice", *THROTTLES},
}
# The kernel has no such limits any more; runc leaves them out, too.
WITHOUT_EFFECT = {"kernel", "kernelTCP", "checkBeforeUpdate", "useHierarchy"}
# Devices that every container may use, as runc has them: terminals, and what leads nowhere.
ALWAYS = [
    *(DeviceRule(True, "c", 1, minor) for minor in (3, 5, 7, 8, 9)),
    *(DeviceRule(True, "c", 5, minor) for minor in (0, 1, 2)),
    DeviceRule(True, "c", 136),
    DeviceRule(True, "c", access="m"),
    DeviceRule(True, "b", access="m"),
]
KINDS = {"a": "a", "b": "b", "c": "c", "u": "c"}
# bpf(2) where it is not for us, or not there.
NO_PROGRAMS = (errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EPERM)


class Groups:
    """`record` is what is kept of them: {"mode": v1, v2 or none, "folders": {controller: path}},
    and "filtered": true once device rules hold.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.mode: str = record.get("mode", "none")
        self.folders: dict[str, str] = record.get("folders", {})

    @property
    def filters_devices(self) -> bool:
        """Whether the kernel asks the bundle's rules before it opens a device."""
        return bool(self.record.get("filtered"))

    @property
    def cgroup(self) -> Cgroup:
        """The cgroup as `linux.cgroup` knows it."""
        if not self.folders:
            return NoCgroup("container")
        if self.mode == "v2":
            parent, name = os.path.split(self.folders[""])
            return V2Cgroup(name, parent, _controllers(self.folders[""]))
        parents = {
            controller: os.path.dirname(folder) for controller, folder in self.folders.items()
        }
        return V1Cgroup(os.path.basename(next(iter(self.folders.values()))), parents)

    def make(self) -> None:
        """Make the folders; those above them, too."""
        for controller, folder in self.folders.items():
            if self.mode == "v2":
                _make_v2(folder)
            else:
                os.makedirs(folder, exist_ok=True)
                if controller == "cpuset":
                    _fill_cpusets(folder)

    def attach(self, pid: int) -> None:
        """Move a process there; 0 is the caller."""
        for folder in dict.fromkeys(self.folders.values()):
            write_cgroup(f"{folder}/cgroup.procs", pid)

    def limit(self, resources: dict[str, Any]) -> None:
        """Apply `linux.resources`."""
        check(resources)
        self.cgroup.limit(resources)
        if resources.get("devices"):
            rules = [*map(_device_rule, resources["devices"]), *ALWAYS]
            self.record["filtered"] = self._limit_devices(rules)

    def _limit_devices(self, rules: list[DeviceRule]) -> bool:
        """Have device rules hold; False where that cannot be had."""
        if self.mode == "v2":
            try:
                devicefilter.attach(self.folders[""], rules)
            except OSError as error:
                if error.errno not in NO_PROGRAMS:
                    raise
                return False
            return True
        if "devices" not in self.folders:
            return False
        for rule in rules:
            numbers = ["*" if number is None else number for number in (rule.major, rule.minor)]
            text = f"{rule.kind} {numbers[0]}:{numbers[1]} {rule.access}"
            file = f"devices.{'allow' if rule.allow else 'deny'}"
            write_cgroup(f"{self.folders['devices']}/{file}", text)
        return True

    def pids(self) -> list[int]:
        """Return the processes in it and in what the container made below it."""
        folders = [path for path, _, _ in os.walk(next(iter(self.folders.values()), ""))]
        return [pid for folder in folders for pid in read_pids(f"{folder}/cgroup.procs")]

    def frozen(self) -> bool:
        """Tell whether it is paused."""
        try:
            if self.mode == "v2":
                return "frozen 1" in read(f"{self.folders['']}/cgroup.events")
            return "freezer" in self.folders and (
                read(f"{self.folders['freezer']}/freezer.state").strip() != "THAWED"
            )
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """Kill every process in it."""
        if self.folders and os.path.isdir(next(iter(self.folders.values()))):
            self.cgroup.kill()
            kill_all(self.pids())

    def remove(self) -> None:
        """Remove the folders, and those that the container made below them.

        A process that is just ending leaves its cgroup later, and `Cgroup.remove` waits for it.
        """
        for top in self.folders.values():
            for folder, _, _ in os.walk(top, topdown=False):
                if folder != top:
                    _remove_empty(folder)
        if self.folders and not self.cgroup.remove():
            first = next(iter(self.folders.values()))
            raise Unavailable(
                f"cannot remove the cgroup {first}: processes {self.pids()} are in it"
            )
        for folder in self.folders.values():
            _remove_empty(folder)


def place(path: str | None, name: str, wanted: bool) -> Groups:
    """Return where a container's cgroups are to be; none on a machine where nothing may be made.

    A relative path, and none at all, begin at our own cgroup. Raises Unavailable when limits are
    `wanted` and cannot be had.
    """
    relative = path if path and not path.startswith("/") else f"{name}"
    own, folders = own_paths(), {}
    for root, point, options in mounts("cgroup"):
        controllers = [o for o in options if o in own]
        for controller in controllers:
            inner = _within(own[controller], root)
            folders[controller] = _under(
                point, path if path and path[0] == "/" else f"{inner}/{relative}"
            )
    mode = "v1"
    if "memory" not in folders and "pids" not in folders:
        unified = mounts("cgroup2")
        mode, folders = "v2", {}
        for root, point, _ in unified[:1]:
            inner = _within(own.get("", "/"), root)
            folders[""] = _under(point, path if path and path[0] == "/" else f"{inner}/{relative}")
    groups = Groups({"mode": mode if folders else "none", "folders": folders})
    try:
        groups.make()
    except OSError as error:
        if wanted or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
            raise Unavailable(f"cannot make the cgroup {path or relative}: {error}") from error
        return Groups({"mode": "none", "folders": {}})
    return groups


def check(resources: dict[str, Any]) -> None:
    """Refuse by name the limits that would have to be left out."""
    for section, values in resources.items():
        if section == "devices" or not values:
            continue
        if section not in LIMITS or not isinstance(values, dict):
            raise NotImplementedHere(f"linux.resources.{section} is not supported: leave it out")
        for key, value in values.items():
            if value and key not in LIMITS[section] and key not in WITHOUT_EFFECT:
                raise NotImplementedHere(
                    f"linux.resources.{section}.{key} is not supported: leave it out"
                )


def asks(resources: dict[str, Any]) -> bool:
    """Tell whether anything but devices is limited."""
    return any(
        value and value != -1
        for section, values in resources.items()
        if section != "devices" and isinstance(values, dict)
        for value in values.values()
    )


def _device_rule(rule: dict[str, Any]) -> DeviceRule:
    numbers = (rule.get(name) for name in ("major", "minor"))
    major, minor = (None if number in (None, -1) else number for number in numbers)
    access, kind = rule.get("access") or "rwm", KINDS.get(rule.get("type") or "a")
    if kind is None or set(access) - set("rwm"):
        raise InvalidParameter(f"linux.resources.devices has {rule}: type is a, b or c, access rwm")
    return DeviceRule(bool(rule["allow"]), kind, major, minor, access)


def _under(point: str, path: str) -> str:
    if ".." in path.split("/"):
        raise InvalidParameter(f"linux.cgroupsPath {path} climbs: leave .. out of it")
    return f"{point}/{path.strip('/')}".replace("//", "/")


def _within(own: str, root: str) -> str:
    return own[len(root.rstrip("/")) :] if own.startswith(root) else "/"


def _make_v2(folder: str) -> None:
    """Make a folder, and have those above it hand down their controllers."""
    point = mounts("cgroup2")[0][1]
    above = point
    for name in folder[len(point) :].strip("/").split("/"):
        hand_down(above)
        above = f"{above}/{name}"
        os.makedirs(above, exist_ok=True)


def _controllers(folder: str) -> frozenset[str]:
    try:
        return frozenset(read(f"{folder}/cgroup.controllers").split())
    except FileNotFoundError:  # its caller has removed it already
        return frozenset()


def _fill_cpusets(folder: str) -> None:
    """Fill the cpusets from the top down: the kernel lets no process into an empty one."""
    above = os.path.dirname(folder)
    if os.path.exists(f"{above}/cpuset.cpus"):
        _fill_cpusets(above)
        inherit_cpuset(folder)


def _remove_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise CgroupError(errno.EBUSY, f"cannot remove {folder}: a process is in it") from error
