"""How a container comes to be: its folder, its cgroups, its first process, the hooks, the FIFO.

Anything that fails takes all of it away again.
"""

import os
import socket
from typing import Any, NamedTuple, NoReturn

from ..errors import ContainerError, StartFailed
from ..launch import NAMESPACES
from ..launch.syscalls import CLONE_NEWUSER, setns
from ..linux.seccomp.custom import compiled
from . import bundle, console, hooks, states
from .birth import Birth, born
from .first import First, become_first
from .groups import Groups, asks, check, place
from .states import Container

FLAGS = {**NAMESPACES, "user": CLONE_NEWUSER}


class Wishes(NamedTuple):
    """The flags of `create` and `run` that concern the process."""

    console_socket: str | None = None
    pid_file: str | None = None
    no_pivot: bool = False
    preserve_fds: int = 0


def create(
    root: str, name: str, folder: str, wishes: Wishes, *, relayed: bool = False
) -> tuple[Container, Birth]:
    """Create a container of the bundle in `folder`; its first process waits for `start`.

    `relayed`: the caller stays, and copies the terminal itself where there is one.
    """
    folder = os.path.realpath(folder)
    spec = bundle.load(folder)
    resources = (spec.get("linux") or {}).get("resources") or {}
    check(resources)
    program = (spec.get("linux") or {}).get("seccomp")
    content = compiled(program) if program else None
    console.check(spec["process"], wishes.console_socket, relayed=relayed)
    container = states.new(root, name, folder, spec)
    groups, birth = Groups({}), None
    try:
        groups = place((spec.get("linux") or {}).get("cgroupsPath"), name, asks(resources))
        groups.limit(resources)
        container.record["cgroups"] = groups.record
        _keep(container, content)
        birth = _first(container, wishes, content)
        container.record["pid"] = birth.pid
        container.record["started"] = states.process_stat(birth.pid)[1]
        _follow(container, birth)
        container.save()
        console.hand_over(birth, spec["process"], wishes.console_socket)
        if wishes.pid_file:
            states.write_file(wishes.pid_file, str(birth.pid))
    except BaseException:
        _undo(container, groups, birth)
        raise
    return container, birth


def _keep(container: Container, program: bytes | None) -> None:
    """Write what later calls need: the filter for execs, the FIFO for start."""
    if program is not None:
        with open(f"{container.folder}/{states.FILTER}", "wb") as file:
            file.write(program)
    os.mkfifo(container.fifo, 0o600)


def _first(container: Container, wishes: Wishes, program: bytes | None) -> Birth:
    spec, groups = container.spec, container.groups
    joined = bundle.paths(spec)
    flags = sum(FLAGS[kind] for kind in bundle.new_kinds(spec))
    # Opened for writing, too, so that neither this nor the first read waits for anybody.
    fifo = os.open(container.fifo, os.O_RDWR | os.O_CLOEXEC)

    def enter() -> None:
        groups.attach(0)
        # The user namespace last: what is joined before may belong to another.
        for kind in sorted(joined, key=lambda kind: kind == "user"):
            fd = os.open(joined[kind], os.O_RDONLY | os.O_CLOEXEC)
            setns(fd, FLAGS[kind])
            os.close(fd)

    def body(status: socket.socket) -> NoReturn:
        first = First(spec["process"], status, kept=wishes.preserve_fds, fifo=fifo)
        first.program = program
        first.run(lambda first: become_first(first, spec, groups, move=wishes.no_pivot))

    try:
        return born(enter, flags, body)
    finally:
        os.close(fifo)


def _follow(container: Container, birth: Birth) -> None:
    spec = container.spec

    def give_ids() -> dict[str, Any]:
        map_ids(spec.get("linux") or {}, birth.pid)
        return {}

    def run_hooks() -> dict[str, Any]:
        state = container.state("creating")
        hooks.run(spec, "prestart", state)
        hooks.run(spec, "createRuntime", state)
        return state

    birth.follow({"map": give_ids, "gate": run_hooks, "ready": dict})


def map_ids(linux: dict[str, Any], pid: int) -> None:
    """Write the id maps of a new user namespace, as its parent's root may, or its maker."""
    if os.geteuid():
        with open(f"/proc/{pid}/setgroups", "w") as file:
            file.write("deny")  # else an ordinary user may map no group: user_namespaces(7)
    for name, key in (("uid_map", "uidMappings"), ("gid_map", "gidMappings")):
        ranges = linux.get(key) or ()
        lines = [f"{r['containerID']} {r['hostID']} {r['size']}\n" for r in ranges]
        try:
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write("".join(lines))
        except OSError as error:
            why = f"cannot map ids by linux.{key} {ranges}: {error.strerror}"
            raise StartFailed(why) from error


def _undo(container: Container, groups: Groups, birth: Birth | None) -> None:
    """Take away what was made; what goes wrong then must not hide why."""
    try:
        if birth is not None:
            _kill(birth)
        groups.kill()
        groups.remove()
    except (OSError, ContainerError) as error:
        print(f"while undoing: {error}", flush=True)
    container.forget()


def _kill(birth: Birth) -> None:
    try:
        os.kill(birth.pid, 9)
        os.waitpid(birth.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return  # it has ended already
