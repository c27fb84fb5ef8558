"""A container that another OCI runtime runs: crun or runc, called from a process of the shim's.

That *caller* does in turn what `docker run --runtime` has containerd do: it mounts the container's
root in a mount namespace of its own, writes the bundle to the disk, has the runtime create the
container and start it, and leaves. It tells the shim as the launcher does, on the same kind of
socket: {"console"} with the terminal's master, {"error"}; and {"launched"}, the number of the
container's process, which is its own child (it is a subreaper) until the shim has taken note; then
it is the shim's.

The runtime makes its cgroup where the shim has made it, and wants it empty: the nursery leaves it.
Only shims of such containers import this.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from ..launch.plan import BENEATH, mount_operation, rootfs
from ..launch.root import Bind, LaunchError, Root
from ..launch.syscalls import (
    CLONE_NEWNS,
    MNT_DETACH,
    MS_REC,
    MS_SLAVE,
    PR_SET_CHILD_SUBREAPER,
    close_range,
    mount,
    move_mount,
    prctl,
    umount2,
    unshare,
)
from ..launch.user import find_user
from ..linux.cgroup import Cgroup
from ..linux.cgroup.base import mounts
from .nursery import Nursery

Take = Callable[[int, socket.socket], None]

BUNDLES = "bundles"
COMMAND = "command.json"
CONSOLE = "console"  # relative: a socket's address has 108 bytes at most, and paths are longer
STATUS = 3
LAST = 0x7FFFFFFF
NOT_FOUND = re.compile(r"not found|no such file or directory", re.IGNORECASE)
NOT_EXECUTABLE = re.compile(r"permission denied|is a directory|exec format error", re.IGNORECASE)


class ForeignInit:
    """A container's first process as `runtime`, a path, starts it; in the place of `ParkedInit`."""

    def __init__(self, runtime: str, run: str, name: str, cgroup: Cgroup, take: Take) -> None:
        """Make the bundle's folder in the run folder; `name` is the container's."""
        self._folder = f"{run}/{BUNDLES}/{cgroup.name}"
        self._command = [runtime, "--root", f"{self._folder}/state"]
        self._id = name
        self._cgroup = cgroup
        self._take = take
        self._nursery = Nursery()
        _wait_for_threads()
        _sweep(f"{run}/{BUNDLES}")
        os.makedirs(self._folder, 0o700)
        with open(f"{self._folder}/{COMMAND}", "w", encoding="utf-8") as file:
            json.dump([*self._command, self._id], file)

    def start(self, bundle: str, streams: Sequence[int], owner: Sequence[int] = ()) -> None:
        """Clone the caller; its streams may be closed afterwards. There is no `owner`."""
        self._take(*self._call(lambda caller: self._create(caller, json.loads(bundle)), streams))

    def exec(self, process: str, init: int, streams: Sequence[int]) -> tuple[int, socket.socket]:
        """Clone a caller that executes a further process beside the one of this number."""
        return self._call(lambda caller: self._execute(caller, json.loads(process), init), streams)

    def let_go(self) -> None:
        """Have the runtime forget the container, and remove its files."""
        forget(self._folder)

    def end(self) -> None:
        """Leave nothing of a container that was never started."""
        self.let_go()

    def _call(
        self, body: "Callable[[Caller], None]", streams: Sequence[int]
    ) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)

        def run() -> None:
            Caller(self._command, self._folder, theirs, streams).run(body)

        try:
            return self._nursery.clone(run), ours
        finally:
            theirs.close()

    def _create(self, caller: "Caller", spec: dict[str, Any]) -> None:
        ours = spec.pop("ipycontainer")
        caller.step = "mount what only the launcher can"
        taken = _taken(spec["mounts"])
        caller.step = "part the mounts from the host's"
        _apart()
        _give(spec["mounts"], taken, self._folder)
        caller.step = "mount the root"
        root = Root(ours["rootfs_path"], terminal=False)
        rootfs(ours["rootfs"]).do(root)
        os.close(root.fd)
        caller.step = "find the user"
        _resolve(spec["process"], ours, ours["rootfs_path"])
        if path := _below_mount(self._cgroup.folder):
            spec["linux"]["cgroupsPath"] = path
        caller.undo = lambda: _delete(self._command, self._id)
        caller.step = "create"
        caller.write("config.json", spec)
        caller.born(["create", "--bundle", self._folder], self._id, spec["process"])
        caller.step = "start"
        caller.call(["start", self._id])

    def _execute(self, caller: "Caller", process: dict[str, Any], init: int) -> None:
        _apart()
        caller.step = "find the user"
        _resolve(process, process.pop("ipycontainer"), f"/proc/{init}/root")
        caller.step = "exec"
        name = f"exec-{os.getpid()}.json"
        caller.write(name, process)
        flags = ["--detach", "--process", f"{self._folder}/{name}"]
        caller.born(["exec", *flags], self._id, process)


def forget(folder: str) -> None:
    """Have the runtime forget a container by its bundle's folder, and remove that.

    Called by its shim at the end, and when that was killed by the spawner or by a later shim. The
    runtime also removes its cgroups, of which it makes more than we do.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):  # killed before it wrote that
        with open(f"{folder}/{COMMAND}", encoding="utf-8") as file:
            *command, name = json.load(file)
        _delete(command, name)
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # another's is beside it
        os.rmdir(os.path.dirname(folder))


class Caller:
    """The process that calls the runtime; `step` says how far it got."""

    def __init__(
        self, command: list[str], folder: str, status: socket.socket, streams: Sequence[int]
    ) -> None:
        self.step = "prepare"
        self._command = command
        self._folder = folder
        self._status = status
        self._streams = streams
        self._log = f"log-{os.getpid()}"
        self.undo: Callable[[], None] = lambda: None
        """What is to be done before a failure is told: then the container may be forgotten."""

    def run(self, body: "Callable[[Caller], None]") -> NoReturn:
        """Do what is asked; a failure is one message. Never return: this is a clone."""
        try:
            self._arrange()
            body(self)
            os._exit(0)
        except LaunchError as error:
            report = {"error": str(error), "step": self.step, "exit": error.exit_code}
        except BaseException as error:
            report = {"error": f"{self.step}: {error}", "step": self.step, "exit": 125}
        self.undo()
        self._status.send(json.dumps(report).encode())
        os._exit(1)

    def _arrange(self) -> None:
        """Take the container's streams for our own, keep the socket, close all else."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the shim's would write to what is closed
        moved = [os.dup(fd) for fd in self._streams or (null, null, null)]
        status = os.dup(self._status.fileno())
        for to, fd in enumerate(moved):
            os.dup2(fd, to)
        self._status.detach()
        os.dup2(status, STATUS, inheritable=False)
        self._status = socket.socket(fileno=STATUS)
        close_range(STATUS + 1, LAST)
        os.chdir(self._folder)
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file of the bundle."""
        with open(f"{self._folder}/{name}", "w", encoding="utf-8") as file:
            json.dump(content, file)

    def born(self, operation: list[str], container: str, process: dict[str, Any]) -> None:
        """Have the runtime launch a process, and tell the shim its terminal and its number."""
        listening = _listen() if process.get("terminal") else None
        flags = ["--pid-file", f"{self._folder}/{self._log}.pid"]
        if listening:
            flags += ["--console-socket", CONSOLE]
        self.call([*operation, *flags, container])
        if listening:
            self._send_terminal(listening, process)
        with open(f"{self._folder}/{self._log}.pid", encoding="ascii") as file:
            self._status.send(json.dumps({"launched": int(file.read())}).encode())
        if not self._status.recv(1):
            os._exit(1)  # the shim was killed

    def call(self, arguments: list[str]) -> None:
        """Call the runtime; raises LaunchError with the last thing that it logged."""
        pid = os.fork()
        if pid == 0:
            _execute([*self._command, "--log", self._log, "--log-format", "json", *arguments])
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise _failure(_last_error(self._log))

    def _send_terminal(self, listening: socket.socket, process: dict[str, Any]) -> None:
        connection, _ = listening.accept()
        _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        connection.close()
        listening.close()
        os.unlink(CONSOLE)
        socket.send_fds(self._status, [b'{"console": true}'], fds)
        os.close(fds[0])


def _apart() -> None:
    """Enter a mount namespace of our own, and see cgroups of version 1 alone where limits are its.

    On a hybrid machine crun looks no further than that there are both.
    """
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_SLAVE, None)
    if any("memory" in options for _, _, options in mounts("cgroup")):
        for _, point, _ in mounts("cgroup2"):
            umount2(point, MNT_DETACH)


def _taken(mounts: list[dict[str, Any]]) -> dict[int, int]:
    """Clone what the runtime would not find or not share as the launcher does; by its number.

    A part of a volume is a path to it, which whoever writes there could turn meanwhile; and once
    this process has mounts of its own, none of them spreads to the host.
    """
    taken = {}
    for number, mounted in enumerate(mounts):
        options = mounted["options"]
        shared = "shared" in options or "rshared" in options
        if shared or any(option.startswith(BENEATH) for option in options):
            operation = mount_operation(mounted)
            assert isinstance(operation, Bind), "a bind is what has such options"
            taken[number] = operation.clone()
    return taken


def _give(mounts: list[dict[str, Any]], taken: dict[int, int], folder: str) -> None:
    """Attach the clones below the bundle's folder, and name them as sources."""
    for number, tree in taken.items():
        source = f"{folder}/mount-{number}"
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.mkdir(source, 0o700)
        else:
            os.close(os.open(source, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        target = os.open(source, os.O_PATH | os.O_CLOEXEC)
        move_mount(tree, target)
        os.close(target)
        os.close(tree)
        options = [o for o in mounts[number]["options"] if not o.startswith(BENEATH)]
        mounts[number].update(source=source, options=options)


def _listen() -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(CONSOLE)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(CONSOLE)
    listening.listen(1)
    return listening


def _execute(command: list[str]) -> NoReturn:
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    finally:
        os._exit(127)


def _delete(command: list[str], container: str) -> None:
    """Have the runtime forget the container; it is right that it knows of none any more."""
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        _apart()
        _execute([*command, "delete", "--force", container])
    os.waitpid(pid, 0)


def _wait_for_threads() -> None:
    """Wait until the nursery's thread has ended, and so has left the cgroup.

    A copy of this process made while it ends might be without the interpreter's lock for ever.
    """
    while len(os.listdir("/proc/self/task")) > 1:
        os.sched_yield()


def _sweep(folder: str) -> None:
    """Remove the bundles of shims that were killed when their spawner was; names end with pids."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        pid = name.rpartition("-")[2]
        if not os.path.exists(f"/proc/{pid}"):
            forget(f"{folder}/{name}")


def _last_error(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines: Iterable[str] = file.readlines()
    except FileNotFoundError:
        lines = ()
    said = ""
    for line in lines:
        with contextlib.suppress(ValueError, AttributeError):
            said = json.loads(line).get("msg") or said
    return said or "the runtime failed and said nothing"


def _failure(text: str) -> LaunchError:
    """Return the error with Docker's exit code, in the words by which its command knows it."""
    if NOT_FOUND.search(text):
        known = "executable file not found" in text
        return LaunchError(text if known else f"{text}: executable file not found in $PATH", 127)
    said = NOT_EXECUTABLE.sub(lambda found: found[0].lower(), text)
    return LaunchError(said, 126 if NOT_EXECUTABLE.search(text) else 125)


def _resolve(process: dict[str, Any], ours: dict[str, Any], root: str) -> None:
    """Give the process the numbers of its user, and the home that goes with them."""
    user = find_user(ours.get("user") or "", ours.get("groups") or (), root)
    process["user"] = {
        "uid": user.uid,
        "gid": user.gid,
        "additionalGids": list(user.groups),
    }
    if user.uid:
        process["capabilities"] = {**process["capabilities"], "effective": [], "permitted": []}
    if not any(entry.startswith("HOME=") for entry in process["env"]):
        process["env"] = [*process["env"], f"HOME={user.home}"]


def _below_mount(folder: str) -> str:
    """Return a cgroup's path below the mount of its hierarchy, as runtimes want it."""
    for kind in ("cgroup", "cgroup2"):
        for _, point, _ in mounts(kind):
            if folder.startswith(f"{point}/"):
                return folder[len(point) :]
    return ""
