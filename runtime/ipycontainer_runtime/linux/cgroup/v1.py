"""cgroup v1, also on hybrid machines: one folder per controller.

Every container joins memory, cpu, cpuacct, pids, blkio and freezer: five for limits and figures,
and one to pause for a commit and to kill a fork bomb. cpuset is joined only when a limit asks
for it, and devices never: a container's mounts are `nodev`, so a rule there would forbid nothing
more. Each folder less saves a mkdir, an attach and an rmdir per container.

Joining costs 5-14 ms when no process joined any v1 cgroup in the last half second (the kernel
waits for an RCU grace period before it takes cgroup_threadgroup_rwsem) and 0.1 ms for the ones
just after: hence the nursery, which joins ahead of need.

Source: Documentation/admin-guide/cgroup-v1/ of the kernel.
"""

import errno
import os
import time

from .base import (
    PARENT,
    Cgroup,
    CgroupError,
    Hierarchy,
    asked,
    field,
    figures,
    kill_all,
    mounts,
    own_paths,
    rates,
    read,
    read_pids,
    set_limit,
    write,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Resources, Transfer

JOINED = ("memory", "cpu", "cpuacct", "pids", "blkio", "freezer")
ON_DEMAND = ("cpuset",)
UNLIMITED = -1
_RATES = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}
_FIGURES = (
    ("memory", "memory.usage_in_bytes", ""),
    ("memory_peak", "memory.max_usage_in_bytes", ""),
    ("memory_inactive", "memory.stat", "total_inactive_file"),
    ("memory_limit", "memory.limit_in_bytes", ""),
    ("cpu", "cpuacct.usage", ""),
    ("cpu_user", "cpuacct.usage_user", ""),
    ("cpu_system", "cpuacct.usage_sys", ""),
    ("periods", "cpu.stat", "nr_periods"),
    ("throttled", "cpu.stat", "nr_throttled"),
    ("throttled_time", "cpu.stat", "throttled_time"),
    ("pids", "pids.current", ""),
    ("pids_limit", "pids.max", ""),
)


class V1Cgroup(Cgroup):
    """One folder in each joined hierarchy; `folders` maps controller to path."""

    def __init__(self, name: str, parents: dict[str, str]) -> None:
        self.name = name
        self._parents = parents
        joined = dict.fromkeys(parents[c] for c in JOINED if c in parents)
        self._folders = [f"{parent}/{name}" for parent in joined]
        self.folder = self._folders[0]

    def make(self) -> None:
        """Create the folders; raises FileExistsError, with nothing made, when there are some."""
        made: list[str] = []
        try:
            for folder in self._folders:
                os.mkdir(folder)
                made.append(folder)
        except OSError:
            for folder in made:
                os.rmdir(folder)
            raise

    def attach(self, pid: int) -> None:
        """Join every folder; the first write waits for the kernel, the others do not."""
        for folder in self._present():
            write(f"{folder}/cgroup.procs", pid)

    def attach_thread(self) -> None:
        """Join every folder's `tasks`, which takes threads."""
        for folder in self._present():
            write(f"{folder}/tasks", 0)

    def limit(self, resources: "Resources") -> None:
        """Write each limit in the order the kernel wants; join cpuset when asked."""
        self._limit_memory(resources)
        self._limit_cpu(resources)
        self._limit_cpuset(resources)
        if (pids := asked(resources, "pids.limit")) and "pids" in self._parents:
            set_limit(self._file("pids", "pids.max"), pids if pids > 0 else "max", "the pids limit")
        self._limit_disks(resources)

    def _limit_disks(self, resources: "Resources") -> None:
        if "blkio" not in self._parents:
            return
        file = self._file("blkio", "blkio.bfq.weight")
        if (weight := asked(resources, "blockIO.weight")) and os.path.exists(file):
            set_limit(file, weight, "the block I/O weight")
        file = self._file("blkio", "blkio.bfq.weight_device")
        for entry in asked(resources, "blockIO.weightDevice") or ():
            if os.path.exists(file):
                device = f"{entry['major']}:{entry['minor']}"
                set_limit(file, f"{device} {entry['weight']}", "the weight of a device")
        for name, device, rate in rates(resources):
            set_limit(self._file("blkio", _RATES[name]), f"{device} {rate}", "a device's rate")

    def _limit_memory(self, resources: "Resources") -> None:
        if "memory" not in self._parents:
            return
        hard = self._file("memory", "memory.limit_in_bytes")
        both = self._file("memory", "memory.memsw.limit_in_bytes")
        limit = asked(resources, "memory.limit")
        swap = asked(resources, "memory.swap") if os.path.exists(both) else None
        steps = [(hard, limit, "the memory limit"), (both, swap, "the memory and swap limit")]
        # Memory may never exceed memory plus swap, so a rise begins with the second.
        if swap and (swap == UNLIMITED or swap > int(read(both))):
            steps.reverse()
        soft = self._file("memory", "memory.soft_limit_in_bytes")
        steps.append((soft, asked(resources, "memory.reservation"), "the memory reservation"))
        for file, value, what in steps:
            if value is not None:
                _set_memory(file, value, what)
        swappiness = asked(resources, "memory.swappiness")
        file = self._file("memory", "memory.swappiness")
        if swappiness is not None and os.path.exists(file):
            set_limit(file, swappiness, "the memory swappiness")
        file = self._file("memory", "memory.oom_control")
        if asked(resources, "memory.disableOOMKiller") and os.path.exists(file):
            set_limit(file, 1, "the OOM killer off")

    def _limit_cpu(self, resources: "Resources") -> None:
        if "cpu" not in self._parents:
            return
        for key, name in (
            ("shares", "cpu.shares"),
            ("period", "cpu.cfs_period_us"),
            ("quota", "cpu.cfs_quota_us"),
        ):
            value = asked(resources, f"cpu.{key}")
            file = self._file("cpu", name)
            if value is not None and os.path.exists(file):
                set_limit(file, value, f"the CPU {key}")

    def _limit_cpuset(self, resources: "Resources") -> None:
        wanted = {key: asked(resources, f"cpu.{key}") for key in ("cpus", "mems")}
        if "cpuset" not in self._parents or not any(wanted.values()):
            return
        parent = self._parents["cpuset"]
        inherit_cpuset(parent)
        folder = f"{parent}/{self.name}"
        _mkdir(folder)
        inherit_cpuset(folder)
        for key, value in wanted.items():
            if value:
                set_limit(f"{folder}/cpuset.{key}", value, f"the cpuset's {key}")
        self._join("cpuset")

    def _join(self, controller: str) -> str:
        """Join one more hierarchy, with every thread that is in this cgroup already."""
        folder = f"{self._parents[controller]}/{self.name}"
        _mkdir(folder)
        # What a container that runs forks meanwhile may still be born outside.
        while missing := set(self._threads(self._folders[0])) - set(self._threads(folder)):
            for thread in missing:
                try:
                    write(f"{folder}/tasks", thread)
                except ProcessLookupError:
                    continue
        return folder

    @staticmethod
    def _threads(folder: str) -> list[int]:
        return read_pids(f"{folder}/tasks")

    def oom_kills(self) -> int:
        """Read `oom_kill` of memory.oom_control."""
        if "memory" not in self._parents:
            return 0
        try:
            return field(self._file("memory", "memory.oom_control"), "oom_kill")
        except FileNotFoundError:
            return 0

    def pids(self) -> list[int]:
        """Read cgroup.procs of the first folder; all folders hold the same processes."""
        return read_pids(f"{self._folders[0]}/cgroup.procs")

    def freeze(self, frozen: bool) -> None:
        """Write freezer.state until it reads back: freezing is refused while a task forks."""
        if "freezer" not in self._parents:
            raise CgroupError(errno.ENOTSUP, "cannot pause: no freezer cgroup is mounted")
        state = "FROZEN" if frozen else "THAWED"
        file = self._file("freezer", "freezer.state")
        deadline = time.monotonic() + 1
        while True:
            write(file, state)
            if read(file).strip() == state:
                return
            if time.monotonic() > deadline:
                write(file, "THAWED")
                raise CgroupError(errno.EBUSY, f"cannot pause {self.name}: a process does not stop")
            time.sleep(0.001)  # v1 announces no change of state

    def _kill(self) -> None:
        """Freeze, so that nothing forks and no pid is reused, then kill and thaw."""
        if not self.pids():
            return
        if "freezer" not in self._parents:
            kill_all(self.pids())
            return
        try:
            self.freeze(True)
        except CgroupError:
            # Some process sleeps uninterruptibly: it does not fork meanwhile either.
            kill_all(self.pids())
            return
        try:
            kill_all(self.pids())
        finally:
            write(self._file("freezer", "freezer.state"), "THAWED")

    def usage(self) -> dict[str, int]:
        """Read the counters of memory, cpuacct, cpu and pids."""
        return figures(
            (key, self._file(name.partition(".")[0], name), field_name, 1)
            for key, name, field_name in _FIGURES
            if name.partition(".")[0] in self._parents
        )

    def transferred(self) -> "list[Transfer]":
        """Read what BFQ counts of a disk, else what the throttling layer does: Docker's choice."""
        if "blkio" not in self._parents:
            return []
        for policy in ("bfq", "throttle"):
            found = [
                (kind, *line)
                for kind, name in (("bytes", "io_service_bytes"), ("requests", "io_serviced"))
                for line in _by_device(self._file("blkio", f"blkio.{policy}.{name}_recursive"))
            ]
            if found:
                return found
        return []

    def remove(self, timeout: float = 1.0) -> bool:
        """Remove the folders; a process that is just ending leaves its cgroup a little later.

        v1 announces that only to a release agent, so a busy folder is tried again, twice as late
        each time.
        """
        deadline, pause = time.monotonic() + timeout, 0.0005
        extra = [f"{self._parents[c]}/{self.name}" for c in ON_DEMAND if c in self._parents]
        for folder in [*self._folders, *extra]:
            while not _rmdir(folder):
                if time.monotonic() > deadline:
                    return False
                time.sleep(pause)
                pause *= 2
        return True

    def _present(self) -> list[str]:
        extra = (f"{self._parents[c]}/{self.name}" for c in ON_DEMAND if c in self._parents)
        return [*self._folders, *(folder for folder in extra if os.path.isdir(folder))]

    def _file(self, controller: str, name: str) -> str:
        return f"{self._parents[controller]}/{self.name}/{name}"


class V1(Hierarchy):
    """Our parent folder in each v1 hierarchy; `parents` maps controller to its path."""

    mode = "v1"

    def __init__(self, parents: dict[str, str]) -> None:
        self._parents = parents
        self.place = parents.get("memory", "")
        names = {"blkio": "io"}
        found = {names.get(controller, controller) for controller in parents}
        memory = parents.get("memory")
        if memory and _has(memory, "memory.memsw.limit_in_bytes"):
            found.add("swap")
        if memory:
            found |= {n for n in ("swappiness", "oom_control") if _has(memory, f"memory.{n}")}
        if "io" in found:
            found |= {"throttle"} if _has(parents["blkio"], _RATES["rbps"]) else set()
            found -= set() if _has(parents["blkio"], "blkio.bfq.weight") else {"io"}
        self.controllers = frozenset(found)

    def create(self, name: str) -> Cgroup:
        """Make one folder per joined controller."""
        cgroup = V1Cgroup(name, self._parents)
        cgroup.make()
        return cgroup

    def open(self, name: str) -> Cgroup:
        """Name folders that are there, or were."""
        return V1Cgroup(name, self._parents)

    def stale(self, prefix: str) -> list[str]:
        """Look into every parent: a crash may have left a folder in some of them only."""
        names: dict[str, None] = {}
        for parent in self._parents.values():
            with os.scandir(parent) as entries:
                found = [e.name for e in entries if e.is_dir() and e.name.startswith(prefix)]
            names.update(dict.fromkeys(found))
        return [name for name in names if not self._populated(name)]

    def _populated(self, name: str) -> bool:
        parents = dict.fromkeys(self._parents.values())
        return any(read_pids(f"{parent}/{name}/cgroup.procs") for parent in parents)


def detect_v1() -> "V1 | str":
    """Return the hierarchy, or why there is none.

    Our parent stands at the top of each hierarchy, as Docker's does; where the top is not ours to
    write (delegation to an ordinary user), in our own cgroup.
    """
    own, parents, refusals = own_paths(), {}, {}
    for root, point, options in mounts("cgroup"):
        for controller in (*JOINED, *ON_DEMAND):
            if controller in options and controller not in parents:
                parent = _parent(point, root, own.get(controller, "/"))
                if isinstance(parent, str):
                    parents[controller] = parent
                else:
                    refusals[controller] = f"{point}: {parent.strerror}"
    if "memory" in parents or "pids" in parents:
        return V1(parents)
    return refusals.get("memory", "no cgroup v1 memory controller is mounted")


def _parent(point: str, root: str, own: str) -> "str | OSError":
    inner = own[len(root.rstrip("/")) :] if own.startswith(root) else "/"
    refusal = OSError(errno.ENOENT, "not mounted")
    for base in dict.fromkeys((point, (point + inner).rstrip("/"))):
        try:
            _mkdir(f"{base}/{PARENT}")
        except OSError as error:
            refusal = error
            continue
        if os.access(f"{base}/{PARENT}", os.W_OK):
            return f"{base}/{PARENT}"
        refusal = PermissionError(errno.EACCES, "Permission denied")
    return refusal


def inherit_cpuset(folder: str) -> None:
    """Fill an empty cpuset from its parent: the kernel lets no process into an empty one."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not read(f"{folder}/{name}").strip():
            write(f"{folder}/{name}", read(f"{os.path.dirname(folder)}/{name}").strip())


def _has(folder: str, name: str) -> bool:
    return os.path.exists(f"{folder}/{name}")


def _by_device(path: str) -> "list[tuple[int, int, str, int]]":
    """Return (major, minor, operation, figure) for each line `major:minor Operation figure`."""
    try:
        lines = read(path).splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        if len(words := line.split()) == 3:  # the sum of all devices has two
            major, minor = words[0].split(":")
            found.append((int(major), int(minor), words[1], int(words[2])))
    return found


def _set_memory(file: str, value: int, what: str) -> None:
    try:
        set_limit(file, value, what)
    except CgroupError as error:
        if error.errno != errno.EBUSY:
            raise
        text = f"cannot set {what} to {value} bytes: more is in use now; free some or ask for more"
        raise CgroupError(errno.EBUSY, text) from error


def _mkdir(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:
        return


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True
