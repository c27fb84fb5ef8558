"""What a bundle's process does, from its birth to its command: the launcher's steps, in the order
that the runtime spec wants, with a stop for hooks and one for `start`.

It is cloned by `create` or `execs` and talks with the call that cloned it on a SOCK_SEQPACKET
socket. Messages are JSON: it says {"map": true} (in a new user namespace: give me ids),
{"console": true} with the pty's master, {"gate": true} (run the hooks of the runtime's side),
{"ready": true} (what is left is the command) or {"error", "exit"}; each question is answered by a
JSON object. A first process then waits on a FIFO that `start` writes to.

The image's files are all it sees after its pivot, so nothing is imported any more.
"""

import fcntl
import json
import os
import resource  # noqa: F401 - set_limits imports it where the files may be the container's already
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ..launch import LaunchError
from ..launch.process import (
    become,
    enter_folder,
    execute,
    find_command,
    own_streams,
    set_limits,
    take_terminal,
)
from ..launch.root import Root, open_terminal
from ..launch.syscalls import (
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    PR_SET_DUMPABLE,
    close_range,
    mount,
    openat2,
    prctl,
)
from ..launch.user import User, find_user
from . import hooks
from .bundle import new_kinds
from .groups import Groups
from .operations import Operation
from .plan import before_pivot, pivot, propagation

LAST = 0x7FFFFFFF  # more than any descriptor's number
HIGH = 512  # past the descriptors that a caller hands on

Body = Callable[["First"], NoReturn]


class First:
    """A process that is about to become a container's; `step` says how far it got."""

    def __init__(
        self, process: dict[str, Any], status: socket.socket, *, kept: int, fifo: int = -1
    ):
        self.process = process
        self.step = "prepare"
        self.kept = kept
        self.console: tuple[int, int] | None = None
        self.environment: list[str] = list(process.get("env") or ())
        self.program: bytes | None = None
        self.keeps_groups = False  # it may not change them, in an ordinary user's namespace
        self._status, self._fifo = status, fifo

    def run(self, body: Body) -> NoReturn:
        """Run to exec; on any failure send one message and exit. Never return: this is a clone."""
        sys.meta_path.clear()  # or it would import files of the container
        try:
            self._arrange()
            os.setsid()
            os.umask(0o022)
            body(self)
        except LaunchError as error:
            report = {"error": str(error), "exit": error.exit_code}
        except BaseException as error:
            report = {"error": f"{self.step}: {error}", "exit": 125}
        self._fail(report)

    def _fail(self, report: dict[str, Any]) -> NoReturn:
        try:
            os.write(self.status, json.dumps(report).encode())
        except OSError:  # it was closed
            os.write(2, f"{report['error']}\n".encode())
        os._exit(1)

    def _arrange(self) -> None:
        """Move our own descriptors behind those that the command gets, and close all else."""
        first = 3 + self.kept
        self.status, self.fifo = first, first + 1
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH + first) if fd >= 0 else -1
                 for fd in (self._status.fileno(), self._fifo)]  # fmt: skip
        for to, fd in zip((self.status, self.fifo), moved, strict=True):
            if fd >= 0:
                os.dup2(fd, to, inheritable=False)
        close_range(self.status + 1 + (self._fifo >= 0), LAST)
        for fd in range(3, first):
            os.set_inheritable(fd, True)

    def ask(self, question: str) -> dict[str, Any]:
        """Ask whoever cloned us, and wait for the answer."""
        os.write(self.status, json.dumps({question: True}).encode())
        answer = os.read(self.status, 1 << 16)
        if not answer:
            os._exit(1)  # nobody wants this container any more
        reply: dict[str, Any] = json.loads(answer)
        return reply

    def unseen(self) -> None:
        """Keep everybody in the container from this process, whose executable is the host's."""
        prctl(PR_SET_DUMPABLE, 0)

    def limit(self) -> None:
        """Set resource limits, and the out-of-memory adjustment also where it is 0."""
        self.step = "set limits"
        for limit in self.process.get("rlimits") or ():
            try:
                set_limits({"rlimits": [limit]})
            except (OSError, ValueError) as error:
                why = "operation not permitted; ask for no more than the caller has"
                text = f"{limit['type']} {limit['soft']}:{limit['hard']}"
                raise LaunchError(f"cannot set {text}: {why}") from error
        adjustment = self.process.get("oomScoreAdj")
        if adjustment is not None:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write(str(adjustment))

    def finish(self, before_exec: Callable[[], None]) -> NoReturn:
        """Give up privileges and execute; all that may be told in advance is told before."""
        if self.console:
            self.step = "take the terminal"
            take_terminal(self.console, self.status)
        self.step = "find the user"
        user = _user(self.process.get("user") or {})
        own_streams(user)
        # Before a working directory could name one of them.
        close_range(self.status + 1 + (self._fifo >= 0), LAST)
        self.step = "enter the working directory"
        # A container's folder is made where it is missing, an exec's is not, as by runc.
        enter_folder(self.process["cwd"], made=self._fifo >= 0)
        os.umask((self.process.get("user") or {}).get("umask", 0o022))
        self.step = "execute"
        path = next((e[5:] for e in self.environment if e.startswith("PATH=")), os.defpath)
        find_command(self.process["args"][0], path)
        if self.kept and "LISTEN_FDS" in os.environ:
            self.environment += [f"LISTEN_FDS={os.environ['LISTEN_FDS']}", "LISTEN_PID=1"]
        self.step = "give up privileges"
        become(_with_sets(self.process), user, self.program, self.keeps_groups)
        self.step = "execute"
        before_exec()
        execute({**self.process, "env": self.environment}, user.home)


def become_first(first: First, spec: dict[str, Any], groups: Groups, *, move: bool) -> NoReturn:
    """Make the container, wait until it is started, and execute its command."""
    kinds = new_kinds(spec)
    if "user" in kinds:
        first.step = "map ids"
        first.ask("map")
        first.keeps_groups = groups_denied("self")
        if not first.keeps_groups:
            os.setgroups(())
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    first.unseen()
    first.limit()
    first.step = "set the mounts' propagation"
    mount(None, "/", None, propagation(spec) or MS_REC | MS_SLAVE, None)
    if propagation(spec) & MS_SHARED:
        mount(None, _mount_point(spec["root"]["path"]), None, MS_PRIVATE, None)
    root = Root(spec["root"]["path"], bool(first.process.get("terminal")))
    _do(first, root, before_pivot(spec, groups))
    first.step = "run hooks"
    state = first.ask("gate")
    hooks.run(spec, "createContainer", state)
    _do(first, root, pivot(spec, move=move))
    first.console = root.console

    def wait_for_start() -> None:
        os.write(first.status, b'{"ready": true}')
        os.close(first.status)
        first.status = -1  # what goes wrong from here on is for the container's own output
        if os.read(first.fifo, 1):
            hooks.run(spec, "startContainer", {**state, "status": "created"})

    first.finish(wait_for_start)


def become_more(first: First) -> NoReturn:
    """Become one more process of the container whose namespaces were entered before the clone."""
    first.unseen()
    first.limit()
    if first.process.get("terminal"):
        first.step = "open a terminal"
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        first.console = open_terminal(openat2(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY))
    first.finish(lambda: None)


def _do(first: First, root: Root, operations: list[Operation]) -> None:
    for operation in operations:
        first.step = repr(operation)
        operation.do(root)


def _user(user: dict[str, Any]) -> User:
    """Return the ids as the bundle has them; the home is that of the account in the image."""
    uid, gid = user.get("uid") or 0, user.get("gid") or 0
    groups = tuple(user.get("additionalGids") or ())
    return User(uid, gid, groups, find_user(str(uid)).home)


def _with_sets(process: dict[str, Any]) -> dict[str, Any]:
    sets = {name: names or () for name, names in (process.get("capabilities") or {}).items()}
    return {**process, "capabilities": sets}


def groups_denied(pid: int | str) -> bool:
    """Tell whether the user namespace of a process lets nobody in it change groups."""
    with open(f"/proc/{pid}/setgroups") as file:
        return file.read().strip() == "deny"


def _mount_point(path: str) -> str:
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path
