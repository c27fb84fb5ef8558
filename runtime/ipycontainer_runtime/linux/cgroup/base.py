"""The seam behind which cgroup v1, cgroup v2 and a machine with neither look alike.

A *hierarchy* is the place under which this machine lets us make cgroups; all of ours live in one
parent folder, `ipycontainer`. A *cgroup* is one container's share of the machine. Its life: the
spawner creates it ahead of need and attaches the nursery to it (what is cloned from the nursery
is born in it); the shim limits it when the container's resources are known, asks it for out of
memory kills when init has ended, kills what is left in it, and removes it. A later engine opens
it by name, or finds it stale.

These modules are imported by the spawner, whose start and memory are counted: they import `os`
and little else. Resources are the `linux.resources` of the OCI runtime specification.
"""

import os

PARENT = "ipycontainer"
GONE = (2, 19)  # ENOENT; ENODEV for a cgroup that went while its file was open
SIGKILL = 9  # the `signal` module costs the spawner 6 ms

TYPE_CHECKING = False  # `typing` costs it 8 ms, and only checkers need it
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Resources = dict[str, Any]
    Transfer = tuple[str, int, int, str, int]
    """`bytes` or `requests`; the device's major and minor number; Docker's operation; how many."""


class CgroupError(OSError):
    """A limit or an operation that the kernel refused; its text names the value and the cure."""

    def __str__(self) -> str:
        """Return the text without errno's number, which it already says in words."""
        return str(self.strerror)


class Cgroup:
    """One container's cgroup; made by `Hierarchy.create` or `Hierarchy.open`."""

    name: str
    fd: int = -1
    """An open folder for clone3's CLONE_INTO_CGROUP, or -1 where that does not exist (v1)."""
    folder: str = ""
    """Its path, on v1 in one of the hierarchies; empty where there are no cgroups."""

    def attach(self, pid: int) -> None:
        """Move process `pid` (0: the caller) and its threads into this cgroup."""
        raise NotImplementedError

    def attach_thread(self) -> None:
        """Move the calling thread alone into this cgroup, which only v1 allows.

        What it clones is born there; memory is still charged to the cgroup of the process's first
        thread, and that is where the kernel looks for whom to kill when memory runs out.
        """
        raise NotImplementedError

    def limit(self, resources: "Resources") -> None:
        """Apply those limits that this machine has; `Hierarchy.missing` tells of the others.

        Raises CgroupError when the kernel refuses a value.
        """
        raise NotImplementedError

    def oom_kills(self) -> int:
        """Return how many processes in this cgroup the kernel killed for want of memory."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Return the processes in this cgroup, as numbered in our pid namespace."""
        raise NotImplementedError

    def freeze(self, frozen: bool) -> None:
        """Stop every process in this cgroup, or let them go on; returns when all have stopped.

        Raises CgroupError where nothing can freeze, or when a second was not enough.
        """
        raise NotImplementedError

    def kill(self) -> None:
        """Send SIGKILL to every process in this cgroup, also to those that fork meanwhile.

        Harmless when the cgroup has gone, which somebody else may remove meanwhile.
        """
        try:
            self._kill()
        except OSError as error:
            if error.errno not in GONE:
                raise

    def _kill(self) -> None:
        raise NotImplementedError

    def usage(self) -> dict[str, int]:
        """Return what is used now; a figure that this machine does not keep is absent.

        `memory`, its highest `memory_peak`, the file cache in it that could go (`memory_inactive`)
        and `memory_limit`, in bytes; `cpu`, of it `cpu_user` and `cpu_system`, in nanoseconds;
        `periods` of the quota, those `throttled` and for how long (`throttled_time`, nanoseconds);
        `pids` and `pids_limit`. A limit that is not set is absent, or more than the machine has.
        """
        raise NotImplementedError

    def transferred(self) -> "list[Transfer]":
        """Return what went from and to disks so far; nothing where that is not kept."""
        raise NotImplementedError

    def remove(self, timeout: float = 1.0) -> bool:
        """Remove the cgroup; false when processes were still in it after `timeout` seconds."""
        raise NotImplementedError


class Hierarchy:
    """Where this machine lets us make cgroups; made by `detect`."""

    mode: str
    """`v1` (also on hybrid machines), `v2` or `none`."""
    reason: str = ""
    """Why there are no cgroups, and the cure; empty where there are some."""
    place: str = ""
    """The folder in which ours are made; on v1 that of the memory controller."""
    controllers: frozenset[str] = frozenset()
    """What can bind: memory, swap, swappiness, oom_control, cpu, cpuset, pids, freezer, and of
    disks io (weights) and throttle (rates)."""

    def create(self, name: str) -> Cgroup:
        """Make the cgroup `name`; raises FileExistsError when there is one."""
        raise NotImplementedError

    def open(self, name: str) -> Cgroup:
        """Return the cgroup `name`, which may be gone: then it has no pids and removes at once."""
        raise NotImplementedError

    def stale(self, prefix: str) -> list[str]:
        """Return the names with this prefix whose cgroup has no process in it.

        A cgroup just made for a nursery is empty too: callers ask for a prefix of their own,
        before they make any.
        """
        raise NotImplementedError

    def missing(self, resources: "Resources") -> list[str]:
        """Return a warning, in Docker's words, for each limit asked for that cannot bind here."""
        warnings = (
            warning
            for path, controller, warning in LIMITS
            if asked(resources, path) is not None and controller not in self.controllers
        )
        return list(dict.fromkeys(warnings))


def asked(resources: "Resources", path: str) -> "Any":
    """Return the value at `section.key` of the resources; None when it was not asked for."""
    section, _, key = path.partition(".")
    value = (resources.get(section) or {}).get(key)
    return value if path == "memory.swappiness" else value or None


THROTTLES = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
"""The runtime spec's rates of devices, with v2's names for them."""


def rates(resources: "Resources") -> "Iterator[tuple[str, str, int]]":
    """Yield (v2's name, `major:minor`, rate) for each rate that was asked for."""
    for name, short in THROTTLES.items():
        for entry in asked(resources, f"blockIO.{name}") or ():
            yield short, f"{entry['major']}:{entry['minor']}", entry["rate"]


def read(path: str) -> str:
    """Return the whole text of a cgroup file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts).decode()
    finally:
        os.close(fd)


def write(path: str, value: object) -> None:
    """Write a cgroup file, which takes its whole value in one write."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def field(path: str, key: str) -> int:
    """Return the number after `key` in a file of `key number` lines; 0 when it has no such line."""
    for line in read(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def figures(sources: "Iterable[tuple[str, str, str, int]]") -> dict[str, int]:
    """Return a figure for each (name, file, key, factor); those that are not kept are left out.

    With a key it is the number after that in a file of `key number` lines.
    """
    found = {}
    for name, path, key, factor in sources:
        try:
            text = read(path).strip()
        except FileNotFoundError:  # an older kernel, or a controller that is not there
            continue
        if key:
            lines = dict(line.split(" ", 1) for line in text.splitlines())
            text = lines.get(key, "")
        if text.isdecimal():
            found[name] = int(text) * factor
    return found


def read_pids(path: str) -> list[int]:
    """Return the numbers in a cgroup.procs file; none when the cgroup is gone."""
    try:
        return [int(line) for line in read(path).split()]
    except (FileNotFoundError, OSError) as error:
        if error.errno in GONE:
            return []
        raise


def set_limit(path: str, value: object, what: str) -> None:
    """Write a limit; raises CgroupError naming `what`, the value and the kernel's objection."""
    try:
        write(path, value)
    except OSError as error:
        text = f"cannot set {what} to {value}: {error.strerror}; ask for another value"
        raise CgroupError(error.errno, text) from error


def kill_all(pids: list[int]) -> None:
    """Send SIGKILL to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, SIGKILL)
        except ProcessLookupError:
            continue


def mounts(kind: str) -> "list[tuple[str, str, list[str]]]":
    """Return (root, mount point, super options) of each mount of this file system type.

    Source: /proc/self/mountinfo, proc(5); the optional fields end with a dash.
    """
    found = []
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith(kind + " "):
            fields = before.split()
            found.append((_unescape(fields[3]), _unescape(fields[4]), after.split()[-1].split(",")))
    return found


def own_paths() -> dict[str, str]:
    """Return our cgroup's path for each v1 controller, and for v2 under the empty name."""
    paths = {}
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _unescape(text: str) -> str:
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _lacks(what: str, loss: str) -> str:
    return f"Your kernel does not support {what} or the cgroup is not mounted. {loss}"


# A limit's place in the OCI resources, what binds it, and the warning that Docker's daemon gives
# where nothing does (daemon/daemon_unix.go).
LIMITS = (
    ("memory.limit", "memory", _lacks("memory limit capabilities", "Limitation discarded.")),
    ("memory.swap", "swap", _lacks("swap limit capabilities", "Memory limited without swap.")),
    (
        "memory.reservation",
        "memory",
        _lacks("memory soft limit capabilities", "Limitation discarded."),
    ),
    ("cpu.shares", "cpu", _lacks("CPU shares", "Shares discarded.")),
    ("cpu.quota", "cpu", _lacks("CPU CFS quota", "Quota discarded.")),
    ("cpu.period", "cpu", _lacks("CPU CFS period", "Period discarded.")),
    ("cpu.cpus", "cpuset", _lacks("cpuset", "Cpuset discarded.")),
    ("cpu.mems", "cpuset", _lacks("cpuset", "Cpuset discarded.")),
    ("pids.limit", "pids", _lacks("pids limit capabilities", "PIDs limit discarded.")),
    (
        "memory.swappiness",
        "swappiness",
        _lacks("memory swappiness capabilities", "Memory swappiness discarded."),
    ),
    (
        "memory.disableOOMKiller",
        "oom_control",
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ),
    ("blockIO.weight", "io", _lacks("Block I/O weight", "Weight discarded.")),
    (
        "blockIO.weightDevice",
        "io",
        _lacks("Block I/O weight_device", "Weight-device discarded."),
    ),
    *(
        (
            f"blockIO.throttle{way.title()}{field}Device",
            "throttle",
            _lacks(f"{unit} {way} limit", f"Block I/O {unit[:4].strip()} {way} limit discarded."),
        )
        for unit, field in (("BPS Block I/O", "Bps"), ("IOPS Block", "IOPS"))
        for way in ("read", "write")
    ),
)
