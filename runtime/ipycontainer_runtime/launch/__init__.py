"""Launch one container, or one more process in it: the only code here that makes namespaces,
mounts a root file system and gives up privileges.

Who calls it: the container's shim, in its *nursery*. It clones the container's first process, which
calls `become_init` when its bundle is known; later ones call `become_exec`. The
child does what `plan` says, step by step, becomes the container's user and executes its command;
whatever fails becomes one message that names the step.

It runs under `python -I -S`, so it imports a little of the standard library and nothing of ours.
"""

import errno
import fcntl
import json
import os
import signal
import socket
import termios
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from ipycontainer_runtime.launch.account import Account, Silent
from ipycontainer_runtime.launch.plan import plan
from ipycontainer_runtime.launch.process import (
    become,
    enter_folder,
    enter_users,
    execute,
    fork_into_sight,
    hung_up,
    own_streams,
    set_limits,
    take_terminal,
)
from ipycontainer_runtime.launch.reaper import fork_command
from ipycontainer_runtime.launch.root import Bind, LaunchError, Operation, Root, open_terminal
from ipycontainer_runtime.launch.syscalls import (
    AT_FDCWD,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MOUNT_ATTR_RDONLY,
    MS_REC,
    MS_SLAVE,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    close_range,
    join_session_keyring,
    mount,
    mount_setattr,
    open_tree,
    openat2,
    prctl,
    setns,
    unshare,
)
from ipycontainer_runtime.launch.user import find_user

__all__ = ["LaunchError", "become_exec", "become_init", "cloned_into", "plan", "said", "sealed"]

NAMESPACES = {
    "cgroup": CLONE_NEWCGROUP,
    "ipc": CLONE_NEWIPC,
    "mount": CLONE_NEWNS,
    "network": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "uts": CLONE_NEWUTS,
}
STATUS = 3  # the child's descriptor of the status socket, the only one besides 0, 1 and 2
LAST = 0x7FFFFFFF  # more than any descriptor's number
LONGEST = 2000  # characters of an error; the shim takes packets of 64 KB

Streams = tuple[int, int, int] | None

OWNED = frozenset(("ipc", "network", "uts"))
"""Kinds that belong to the container's user namespace, where it has one, so that its root rules
them. Its mounts are the machine's root's: it can neither undo one nor add any."""


def cloned_into(kinds: Iterable[str]) -> int:
    """Return the CLONE_NEW… flags with which a container's first process is cloned.

    The cgroup namespace is left to `become_init`, when every cgroup is joined.
    """
    return sum(NAMESPACES[kind] for kind in kinds if kind != "cgroup")


def become_init(
    spec: dict[str, Any], streams: Streams, status: socket.socket, owner: tuple[int, ...] = ()
) -> NoReturn:
    """Make the container, and execute its command as its first process.

    `spec` is the bundle of docs/architecture.md; `streams` are the descriptors for 0, 1 and 2, or
    None when `process.terminal` is set: the pty's master then goes through `status`, one end of a
    SOCK_SEQPACKET pair. Its messages are JSON: `{"console": true}` with the master attached, or
    `{"error", "step", "exit"}`; end-of-file without an error means that the command is executed.
    `owner` is the container's user namespace, if it has one: a pidfd of a process in it, which has
    made the namespaces of OWNED too, and a descriptor of the namespace itself.
    """
    child = Child(spec["process"], spec["ipycontainer"])
    child.run(lambda: child.init(spec), streams, status, owner)


def become_exec(
    process: dict[str, Any], init: int, streams: Streams, status: socket.socket
) -> NoReturn:
    """Enter a container and execute a command as one more of its processes.

    Called in a child that was born in the container's pid namespace. `process` is an OCI process
    whose key "ipycontainer" holds `user`, `groups`, `seccomp` as in the bundle, and `namespaces`,
    the kinds to enter (all where it is missing). `init` is a pidfd, so that a process id used again
    cannot lead elsewhere. Streams and status as in `become_init`.

    With `traced` the child was born outside of the pid namespace and is the process's helper: it
    sends `{"pid"}`, which names the process, one more child of the caller's, and ends.
    """
    child = Child(process, process.get("ipycontainer", {}))
    child.run(child.exec, streams, status, (init,))


def sealed(path: str) -> int:
    """Open an executable through a read-only mount of its own, to be executed by its descriptor.

    A container can name the interpreter that launches it (`#!/proc/self/exe`, CVE-2019-5736); what
    it gets hold of then is on a mount that nobody can write through.
    """
    fd = open_tree(AT_FDCWD, path)
    mount_setattr(fd, MOUNT_ATTR_RDONLY)
    return fd


class Child:
    """What happens after the clone; `step` says how far it got."""

    def __init__(self, process: dict[str, Any], extras: dict[str, Any]) -> None:
        self.process = process
        self.extras = extras
        wanted = extras.get("explain")
        self.account = Silent() if wanted is None else Account(wanted)
        self._reach("prepare")
        self.terminal = bool(process.get("terminal"))
        self.traced = bool(extras.get("traced"))
        self.makes = False
        """Whether this is the container's first process, for which its folder is made."""
        self.kept: list[int] = []
        """Descriptors of namespaces: the init's, or those of `become_init`'s owner."""
        self.ids: dict[str, int] | None = extras.get("ids")
        """The `first` id on the machine, and the `count`, of the container's own user namespace."""
        # Asked while /proc is the host's. A user who mapped one id himself keeps his groups.
        with open("/proc/self/setgroups") as file:
            self.keeps_groups = file.read().strip() == "deny"
        self.program: bytes | None = None
        if path := extras.get("seccomp"):
            with open(path, "rb") as file:
                self.program = file.read()

    def run(
        self,
        start: Callable[[], NoReturn],
        streams: Streams,
        status: socket.socket,
        kept: tuple[int, ...] = (),
    ) -> NoReturn:
        """Run to exec; on any failure send one message through `status` and exit."""
        report_to = status.fileno()
        try:
            self._arrange(streams, report_to, kept)
            report_to = STATUS
            os.setsid()
            os.umask(0o022)
            # Nobody in the container may look into this process, whose executable is the host's.
            prctl(PR_SET_DUMPABLE, 0)
            self._forget_keys()
            start()
        except LaunchError as error:
            report = {"error": said(str(error)), "step": said(self.step), "exit": error.exit_code}
        except BaseException as error:  # a clone must end here, whatever happened: never return
            report = {
                "error": said(f"{self.step}: {error}"),
                "step": said(self.step),
                "exit": 125,
            }
        self.account.tell(report_to)
        os.write(report_to, json.dumps(report).encode())
        os._exit(1)

    def _reach(self, step: str) -> None:
        """Begin a step."""
        self.step = step
        self.account.step(step)

    def _arrange(self, streams: Streams, status: int, kept: tuple[int, ...]) -> None:
        """Move streams to 0, 1, 2, status to 3 and what is kept to 4 on; close all else."""
        self.kept = list(range(STATUS + 1, STATUS + 1 + len(kept)))
        targets = [*enumerate(streams or ()), (STATUS, status), *zip(self.kept, kept, strict=True)]
        # First all out of the way: a source may sit where another is to go.
        high = [(to, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16)) for to, fd in targets]
        for to, fd in high:
            os.dup2(fd, to, inheritable=to < STATUS)
        close_range(STATUS + 1 + len(kept), LAST)

    def _forget_keys(self) -> None:
        """Leave the session keyring of the engine's user, which a process would inherit."""
        try:
            join_session_keyring()
        except OSError as error:
            # EPERM and ENOSYS: nobody here has keyrings. Who is filtered reaches none.
            if error.errno == errno.EDQUOT and self.program is None:
                raise LaunchError(
                    "the engine's user has as many keyrings as he may have, and an unfiltered"
                    " container could read his: raise `sysctl kernel.keys.maxkeys`"
                ) from error

    def init(self, spec: dict[str, Any]) -> NoReturn:
        """Make the container and become its first process."""
        self.makes = True
        set_limits(self.process)
        namespaces = spec.get("linux", {}).get("namespaces", [])
        if self.kept:
            self._reach("join the namespaces of its user namespace")
            new = {namespace["type"] for namespace in namespaces if not namespace.get("path")}
            setns(self.kept[0], sum(NAMESPACES[kind] for kind in new & OWNED))
        for namespace in namespaces:
            if namespace["type"] == "cgroup" and not namespace.get("path"):
                unshare(CLONE_NEWCGROUP)
            # A pid namespace is joined by whoever clones this process.
            if (path := namespace.get("path")) and namespace["type"] != "pid":
                self._reach(f"join the {namespace['type']} namespace")
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                setns(fd, NAMESPACES[namespace["type"]])
                os.close(fd)
        # Where 0 is 0 there as here, layers need no mapping.
        users = self.kept[-1] if self.kept and self.ids and self.ids["first"] else -1
        root = Root(self.extras["rootfs_path"], self.terminal, users)
        operations = plan(spec)
        if namespace := self.extras.get("binds_from"):
            self._clone_binds(operations, root, namespace)
        self._reach("make mounts private")
        mount(None, "/", None, MS_REC | MS_SLAVE, None)
        for operation in operations:
            self._reach(repr(operation))
            operation.do(root)
        self._finish(root.console)

    def _clone_binds(self, operations: list[Operation], root: Root, namespace: str) -> None:
        """Clone what is bound where the engine has it mounted.

        This process's own mounts are those of a while ago, when it was cloned ahead; and only here
        does what is mounted in a shared one spread to the host.
        """
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        engine = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        setns(engine, CLONE_NEWNS)
        try:
            for operation in operations:
                if isinstance(operation, Bind) and operation not in root.early:
                    self._reach(repr(operation))
                    root.early[operation] = operation.clone()
        finally:
            setns(own, CLONE_NEWNS)
            os.close(own)
            os.close(engine)

    def exec(self) -> NoReturn:
        """Enter the container and become one more of its processes."""
        set_limits(self.process)
        self._reach("enter the container's namespaces")
        kinds = self.extras.get("namespaces", NAMESPACES)
        if not self.traced:  # born in it already
            kinds = set(kinds) - {"pid"}
        setns(self.kept[0], sum(NAMESPACES[kind] for kind in kinds))
        console = None
        if self.terminal:
            self._reach("open a terminal")
            root = os.open("/", os.O_PATH | os.O_CLOEXEC)
            console = open_terminal(openat2(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY))
        self._finish(console)

    def _finish(self, console: tuple[int, int] | None) -> NoReturn:
        if console:
            self._reach("take the terminal")
            take_terminal(console, STATUS)
        self._reach("find the user")
        user = find_user(self.extras.get("user") or "", self.extras.get("groups") or ())
        own_streams(user, self.ids["first"] if self.ids else 0)
        if self.ids:
            self._reach("enter the user namespace")
            enter_users(self.kept[-1], user, self.ids["count"], self.keeps_groups)
        close_range(STATUS + 1, LAST)  # before a working directory could name one of them
        self._reach("enter the working directory")
        enter_folder(self.process.get("cwd") or "/", made=self.makes)
        self._reach("give up privileges")
        become(self.process, user, self.program, self.keeps_groups)
        if self.traced:
            # Not before: who may trace (CAP_SYS_PTRACE) could make a process that is still the
            # host's, or has all its capabilities, do what he likes, from the moment he sees it.
            self._reach("enter the container's pid namespace")
            fork_into_sight(STATUS)
        if console:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # Without its shim nobody would read its output or hear of its end; what gave up
        # privileges has lost an earlier wish of this kind.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if hung_up(STATUS):
            os._exit(1)  # it was killed before it could take this process along
        if self.extras.get("init"):
            self._reach("fork the command")
            fork_command(STATUS)
        self._reach("look around")
        self.account.look(STATUS)
        self._reach("execute")
        self.account.tell(STATUS)
        execute(self.process, user.home)


def said(text: str) -> str:
    """Return words short enough for one packet, with nothing in them that a terminal obeys.

    They may be the image's: a command, a folder, a user.
    """
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
