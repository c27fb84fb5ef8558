"""One more process in a container: from `--process FILE`, or the container's own with changes."""

import os
import socket
from typing import Any, NamedTuple, NoReturn

from ..errors import Conflict, InvalidParameter
from ..launch.syscalls import PR_SET_DUMPABLE, prctl, setns
from . import console, states
from .birth import Birth, born
from .bundle import check_process, read_json
from .create import FLAGS
from .first import First, become_more, groups_denied
from .states import Container

FILES = {"cgroup": "cgroup", "ipc": "ipc", "mount": "mnt", "network": "net", "pid": "pid"} | {
    "user": "user",
    "uts": "uts",
}  # how /proc/PID/ns calls the kinds


class ExecWishes(NamedTuple):
    """The flags of `exec` that concern its process."""

    console_socket: str | None = None
    pid_file: str | None = None
    preserve_fds: int = 0
    detach: bool = False
    ignore_paused: bool = False


def execute(container: Container, process: dict[str, Any], wishes: ExecWishes) -> Birth:
    """Launch a process in a container that runs; returns once its command is executed."""
    check_process(process)
    console.check(process, wishes.console_socket, relayed=not wishes.detach)
    if container.status() == "paused" and not wishes.ignore_paused:
        raise Conflict(f"cannot exec in a paused container: resume {container.id} first")
    init = container.pidfd()
    kinds = _others(container.record["pid"])
    groups, program = container.groups, _filter(container)
    denied = groups_denied(container.record["pid"])

    def enter() -> None:
        # From here on we are in the container's sight, while our executable is the host's.
        prctl(PR_SET_DUMPABLE, 0)
        groups.attach(0)
        if kinds:
            setns(init, kinds)

    def body(status: socket.socket) -> NoReturn:
        first = First(process, status, kept=wishes.preserve_fds)
        first.program, first.keeps_groups = program, denied
        first.run(become_more)

    birth = born(enter, 0, body)
    os.close(init)
    birth.follow({})
    console.hand_over(birth, process, wishes.console_socket)
    if wishes.pid_file:
        states.write_file(wishes.pid_file, str(birth.pid))
    return birth


def _others(pid: int) -> int:
    """Return the CLONE_NEW… flags of the namespaces that a process does not share with us."""
    return sum(
        FLAGS[kind]
        for kind, name in FILES.items()
        if os.stat(f"/proc/{pid}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino
    )


def _filter(container: Container) -> bytes | None:
    try:
        with open(f"{container.folder}/{states.FILTER}", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_process(path: str) -> dict[str, Any]:
    """Return the process that a file describes."""
    return read_json(path, of="--process: ")


def like_first(container: Container, args: list[str], **changes: Any) -> dict[str, Any]:
    """Return the container's own process with another command and these fields changed.

    `env` is added, `user` is `uid[:gid]`, `capabilities` are added to every set but ambient.
    """
    process = {**container.spec["process"], "args": args}
    user, caps = changes.pop("user", None), changes.pop("capabilities", ())
    additional = changes.pop("additional_gids", ())
    process["env"] = [*(process.get("env") or ()), *changes.pop("env", ())]
    process.update({name: value for name, value in changes.items() if value is not None})
    if user:
        process["user"] = _user(user, additional)
    if caps:
        sets = process.get("capabilities") or {}
        names = ("bounding", "effective", "permitted")
        added = {name: sorted({*(sets.get(name) or ()), *caps}) for name in names}
        process["capabilities"] = {**sets, **added}
    return process


def _user(text: str, groups: Any) -> dict[str, Any]:
    uid, _, gid = text.partition(":")
    if not (uid.isdecimal() and (gid or "0").isdecimal()):
        raise InvalidParameter(f"--user {text!r} is not uid[:gid] in numbers")
    return {"uid": int(uid), "gid": int(gid or 0), "additionalGids": list(groups)}
