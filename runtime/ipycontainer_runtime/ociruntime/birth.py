"""How a process gets into a container: a helper is cloned, goes there, and clones it as our child.

The helper joins the cgroup and the namespaces first, so that the process is born in them; its
parent is still the call of this command, and after that whoever watches over orphans: containerd's
shim or conmon. `follow` listens to what the new process says until it is ready.
"""

import json
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import ContainerError, StartFailed, Unavailable
from ..launch.syscalls import CLONE_PARENT, clone

Answers = dict[str, Callable[[], dict[str, Any]]]


class Birth:
    """A process that is being launched: its pid, and the socket on which it reports."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self.status = status
        self.console = -1
        """The master of its terminal, once it has sent that."""

    def follow(self, answers: Answers) -> None:
        """Answer its questions until it says that it is ready, or has executed its command.

        Raises StartFailed with what it says went wrong.
        """
        while True:
            message, fds, _, _ = socket.recv_fds(self.status, 65536, 1)
            if not message:
                if "ready" in answers:
                    raise Unavailable("the container's process was killed before it was ready")
                return
            said: dict[str, Any] = json.loads(message)
            if "error" in said:
                os.waitpid(self.pid, 0)
                raise StartFailed(said["error"], exit_code=said["exit"])
            (question,) = said
            if question == "console":
                self.console = fds[0]
            elif question == "ready":
                return
            else:
                self.status.send(json.dumps(answers[question]()).encode())


def born(
    enter: Callable[[], None],
    flags: int,
    body: Callable[[socket.socket], NoReturn],
) -> Birth:
    """Clone a helper that calls `enter` and clones, with CLONE_… `flags`, who calls `body`.

    Raises StartFailed when it cannot get there.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The helper has a way of its own: the new process may speak before the helper can.
    reading, writing = os.pipe()
    helper = os.fork()
    if helper == 0:
        ours.close()
        os.close(reading)
        _help(enter, flags, body, theirs, writing)
    theirs.close()
    os.close(writing)
    with open(reading, "rb") as told:
        said = json.loads(told.read() or b'{"error": "the helper process was killed"}')
    os.waitpid(helper, 0)
    if "error" in said:
        ours.close()
        raise StartFailed(said["error"])
    return Birth(said["pid"], ours)


def _help(
    enter: Callable[[], None],
    flags: int,
    body: Callable[[socket.socket], NoReturn],
    status: socket.socket,
    writing: int,
) -> NoReturn:
    try:
        enter()
        # Its number is that of the pid namespace which we are in ourselves.
        pid = clone(flags | CLONE_PARENT)
        if pid == 0:
            os.close(writing)
            body(status)
        said: dict[str, Any] = {"pid": pid}
    except (OSError, ContainerError) as error:
        said = {"error": f"cannot enter the container: {error}"}
    os.write(writing, json.dumps(said).encode())
    os._exit(0)


def waited(pid: int) -> int:
    """Wait for a child and return its exit code as a shell has it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code
