"""cgroup v2: one tree, controllers handed down from folder to folder.

A controller binds in a folder only when every folder above it hands it down in
cgroup.subtree_control, and a folder that hands any down may hold no process (but the machine's
root may). So our parent stands beside processes, never above them:

- root on the machine: at the top of the tree, as Docker's does with its cgroupfs driver;
- root in somebody's container: our top is a folder that holds everything; its processes move to
  a leaf `init` beside our parent, as Docker in Docker does;
- in the leaf of such a folder already: in that folder. So it is in the scope that systemd
  delegates to an ordinary user's engine (`linux/delegation.py`);
- any other ordinary user: the highest folder above us that is ours to write. A login session by
  itself has none.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, https://systemd.io/CGROUP_DELEGATION.
"""

import errno
import os
import select
import time

from .base import (
    GONE,
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
    from collections.abc import Iterator

    from .base import Resources, Transfer

WANTED = ("memory", "pids", "cpu", "cpuset", "io")
UNLIMITED = -1
_TRANSFERS = {
    "rbytes": ("bytes", "read"),
    "wbytes": ("bytes", "write"),
    "rios": ("requests", "read"),
    "wios": ("requests", "write"),
}
_FIGURES = (
    ("memory", "memory.current", "", 1),
    ("memory_peak", "memory.peak", "", 1),
    ("memory_inactive", "memory.stat", "inactive_file", 1),
    ("memory_limit", "memory.max", "", 1),
    ("cpu", "cpu.stat", "usage_usec", 1000),
    ("cpu_user", "cpu.stat", "user_usec", 1000),
    ("cpu_system", "cpu.stat", "system_usec", 1000),
    ("periods", "cpu.stat", "nr_periods", 1),
    ("throttled", "cpu.stat", "nr_throttled", 1),
    ("throttled_time", "cpu.stat", "throttled_usec", 1000),
    ("pids", "pids.current", "", 1),
    ("pids_limit", "pids.max", "", 1),
)
LEAF = "init"


class V2Cgroup(Cgroup):
    """One folder; `fd` is opened when first asked for."""

    def __init__(self, name: str, parent: str, controllers: frozenset[str]) -> None:
        self.name = name
        self.folder = f"{parent}/{name}"
        self._controllers = controllers

    def make(self) -> None:
        """Create the folder and open it for CLONE_INTO_CGROUP."""
        os.mkdir(self.folder)
        self.fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def attach(self, pid: int) -> None:
        """Write cgroup.procs."""
        write(f"{self.folder}/cgroup.procs", pid)

    def limit(self, resources: "Resources") -> None:
        """Write each limit in v2's own units (`plan` says how they come about)."""
        for controller, name, value, what in plan(resources):
            file = f"{self.folder}/{name}"
            if controller in self._controllers and os.path.exists(file):
                set_limit(file, value, what)

    def oom_kills(self) -> int:
        """Read `oom_kill` of memory.events."""
        try:
            return field(f"{self.folder}/memory.events", "oom_kill")
        except FileNotFoundError:
            return 0

    def pids(self) -> list[int]:
        """Read cgroup.procs."""
        return read_pids(f"{self.folder}/cgroup.procs")

    def freeze(self, frozen: bool) -> None:
        """Write cgroup.freeze and wait until cgroup.events says that it is so."""
        write(f"{self.folder}/cgroup.freeze", int(frozen))
        if not self._wait("frozen", int(frozen), 1.0):
            write(f"{self.folder}/cgroup.freeze", 0)
            raise CgroupError(errno.EBUSY, f"cannot pause {self.name}: a process does not stop")

    def _kill(self) -> None:
        """Write cgroup.kill (Linux 5.14); before that, freeze, kill and thaw."""
        try:
            write(f"{self.folder}/cgroup.kill", 1)
        except FileNotFoundError:
            if os.path.isdir(self.folder):
                self.freeze(True)
                kill_all(self.pids())
                self.freeze(False)

    def usage(self) -> dict[str, int]:
        """Read the counters of memory, cpu (kept even without the controller) and pids."""
        return figures(
            (key, f"{self.folder}/{name}", field_name, factor)
            for key, name, field_name, factor in _FIGURES
        )

    def transferred(self) -> "list[Transfer]":
        """Read io.stat: `major:minor rbytes=… wbytes=… rios=… wios=… …`."""
        try:
            lines = read(f"{self.folder}/io.stat").splitlines()
        except FileNotFoundError:
            return []
        found: list[Transfer] = []
        for line in lines:
            device, *figures_of = line.split()
            major, minor = map(int, device.split(":"))
            for entry in figures_of:
                name, _, figure = entry.partition("=")
                if name in _TRANSFERS:
                    kind, operation = _TRANSFERS[name]
                    found.append((kind, major, minor, operation, int(figure)))
        return found

    def remove(self, timeout: float = 1.0) -> bool:
        """Wait until cgroup.events says `populated 0`, then remove the folder."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        try:
            if not self._wait("populated", 0, timeout):
                return False
            os.rmdir(self.folder)
        except OSError as error:
            if error.errno not in (*GONE, errno.EBUSY):
                raise
            return error.errno in GONE
        return True

    def _wait(self, key: str, value: int, timeout: float) -> bool:
        """Wait for `key value` in cgroup.events; the kernel announces each change as POLLPRI."""
        deadline = time.monotonic() + timeout
        fd = os.open(f"{self.folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLPRI)
            while f"{key} {value}\n".encode() not in os.pread(fd, 4096, 0):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                poll.poll(left * 1000)
            return True
        finally:
            os.close(fd)


class V2(Hierarchy):
    """Our parent folder, to whose children `controllers` are handed down."""

    mode = "v2"

    def __init__(self, parent: str, controllers: frozenset[str]) -> None:
        self.place = parent
        self._handed_down = controllers
        swap = {"swap"} if "memory" in controllers and _has_swap(parent) else set()
        throttle = {"throttle"} if os.path.exists(f"{parent}/io.max") else set()
        weights = set() if os.path.exists(f"{parent}/io.bfq.weight") else {"io"}
        self.controllers = (controllers | {"freezer"} | swap | throttle) - weights

    def create(self, name: str) -> Cgroup:
        """Make one folder."""
        cgroup = V2Cgroup(name, self.place, self._handed_down)
        cgroup.make()
        return cgroup

    def open(self, name: str) -> Cgroup:
        """Name a folder that is there, or was."""
        return V2Cgroup(name, self.place, self._handed_down)

    def stale(self, prefix: str) -> list[str]:
        """Look for folders that hold no process."""
        with os.scandir(self.place) as entries:
            names = [e.name for e in entries if e.is_dir() and e.name.startswith(prefix)]
        return [name for name in names if not read_pids(f"{self.place}/{name}/cgroup.procs")]


def plan(resources: "Resources") -> "Iterator[tuple[str, str, object, str]]":
    """Yield (controller, file, value, what it is) for each limit, in an order the kernel takes."""
    yield from _plan_memory(resources)
    if shares := asked(resources, "cpu.shares"):
        yield "cpu", "cpu.weight", weight(shares), "the CPU weight"
    quota, period = asked(resources, "cpu.quota"), asked(resources, "cpu.period")
    if quota or period:
        text = f"{quota if (quota or 0) > 0 else 'max'} {period or 100000}"
        yield "cpu", "cpu.max", text, "the CPU quota and period"
    for key in ("cpus", "mems"):
        if value := asked(resources, f"cpu.{key}"):
            yield "cpuset", f"cpuset.{key}", value, f"the cpuset's {key}"
    if pids := asked(resources, "pids.limit"):
        yield "pids", "pids.max", _or_max(pids), "the pids limit"
    if share := asked(resources, "blockIO.weight"):
        yield "io", "io.bfq.weight", share, "the block I/O weight"
    for entry in asked(resources, "blockIO.weightDevice") or ():
        text = f"{entry['major']}:{entry['minor']} {entry['weight']}"
        yield "io", "io.bfq.weight", text, "the weight of a device"
    for name, device, rate in rates(resources):
        yield "io", "io.max", f"{device} {name}={rate}", "a device's rate"


def weight(shares: int) -> int:
    """Return the weight (1 to 10000) for v1 shares (2 to 262144).

    Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/2254-cgroup-v2
    """
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def _plan_memory(resources: "Resources") -> "Iterator[tuple[str, str, object, str]]":
    limit, both = asked(resources, "memory.limit"), asked(resources, "memory.swap")
    if both:
        # The specification's swap is memory plus swap; v2's is swap alone.
        swap = both - limit if both > 0 and limit and limit > 0 else both
        yield "memory", "memory.swap.max", _or_max(swap), "the swap limit"
    if limit:
        yield "memory", "memory.max", _or_max(limit), "the memory limit"
    if reservation := asked(resources, "memory.reservation"):
        yield "memory", "memory.low", _or_max(reservation), "the memory reservation"


def _or_max(value: int) -> object:
    return "max" if value < 0 else value


def detect_v2() -> "V2 | str":
    """Return the hierarchy, or why there is none."""
    found = mounts("cgroup2")
    if not found:
        return "no cgroup2 file system is mounted"
    refusals = []
    root, point, _ = found[0]
    for folder in _candidates(root, point):
        try:
            return _below(folder)
        except OSError as error:
            refusals.append(f"{folder}: {error.strerror}")
    return "; ".join(refusals) or f"{point}: nothing there is ours to write"


def _candidates(root: str, point: str) -> list[str]:
    """Return the folders that we may make folders in: that of our leaf, then from the top down.

    To move a process, cgroup.procs of the folder above both places must be ours to write, too.
    """
    own = own_paths().get("", "/")
    inner = own[len(root.rstrip("/")) :] if own.startswith(root) else own
    folders, folder = [point], point
    for part in inner.strip("/").split("/"):
        if part in ("", PARENT, ".."):
            break
        folder = f"{folder}/{part}"
        folders.append(folder)
    if len(folders) > 1 and inner.endswith(f"/{LEAF}"):
        folders.insert(0, folders[-2])
    return [f for f in folders if os.access(f, os.W_OK) and os.access(f"{f}/cgroup.procs", os.W_OK)]


def _below(folder: str) -> V2:
    """Make our parent in `folder` and hand controllers down to it and to its children."""
    parent = f"{folder}/{PARENT}"
    if not os.path.isdir(parent):
        os.mkdir(parent)
    handed = hand_down(folder)
    if not handed & {"memory", "pids"}:
        os.rmdir(parent)
        offered = read(f"{folder}/cgroup.controllers").split()
        raise OSError(errno.ENOTSUP, f"offers {' '.join(offered) or 'no controllers'}")
    return V2(parent, handed & hand_down(parent))


def hand_down(folder: str) -> frozenset[str]:
    """Enable what we want of what `folder` has; return what its children have now."""
    file = f"{folder}/cgroup.subtree_control"
    have = set(read(file).split())
    offered = [c for c in WANTED if c in read(f"{folder}/cgroup.controllers").split()]
    for controller in offered:
        if controller not in have and _enable(folder, file, controller):
            have.add(controller)
    return frozenset(have & set(WANTED))


def _enable(folder: str, file: str, controller: str) -> bool:
    try:
        write(file, f"+{controller}")
    except OSError as error:
        if error.errno != errno.EBUSY or not _empty_into_leaf(folder):
            return False
        write(file, f"+{controller}")
    return True


def _empty_into_leaf(folder: str) -> bool:
    """Move the processes of a folder that may not hold any to a leaf; false when some are foreign.

    Only at the top of a container's own view of the tree, in what systemd delegated, or when we are
    the only one there: elsewhere the folder belongs to whoever put the others into it.
    """
    pids = read_pids(f"{folder}/cgroup.procs")
    top = not os.path.exists(f"{folder}/../cgroup.procs")
    if 0 in pids:  # one that our pid namespace lacks
        return False
    if not (top or delegated(folder) or pids == [os.getpid()]):
        return False
    leaf = f"{folder}/{LEAF}"
    if not os.path.isdir(leaf):
        os.mkdir(leaf)
    for pid in pids:
        try:
            write(f"{leaf}/cgroup.procs", pid)
        except ProcessLookupError:
            continue
    return True


def delegated(folder: str) -> bool:
    """Tell whether the machine's systemd has marked a folder as its user's to divide.

    A user's own systemd marks none. Source: https://systemd.io/CGROUP_DELEGATION, "user.delegate".
    """
    try:
        return os.getxattr(folder, "user.delegate") == b"1" and os.access(folder, os.W_OK)
    except OSError:  # no such mark, or a kernel before 5.7, which keeps none
        return False


def _has_swap(parent: str) -> bool:
    """Tell whether children of `parent` have memory.swap.max; the root of the tree has no such."""
    return os.path.exists(f"{parent}/memory.swap.max")
