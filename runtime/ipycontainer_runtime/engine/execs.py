"""Further processes in a running container: create, start, resize, inspect.

An exec is created first and started by a second request, which may give up its connection to it.
"""

import asyncio
import contextlib
import secrets
import signal as signals
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from ipycontainer_runtime.engine.attach import detach_keys
from ipycontainer_runtime.engine.container import Container, not_running
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.faults import by_signal, failed_start, fault_attributes
from ipycontainer_runtime.engine.namespaces import entered_kinds
from ipycontainer_runtime.engine.security import Security, privileged, security
from ipycontainer_runtime.engine.spec import capability_sets, environment, id_range
from ipycontainer_runtime.errors import (
    Conflict,
    InvalidParameter,
    NotFound,
    StartFailed,
    Unavailable,
)
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import AttachOptions, ExecExited, ExecRequest
from ipycontainer_runtime.store.records import Fault, Size, Words, words

MOST_ENDED = 512
"""Ended execs that are kept for inspection; Docker keeps them five minutes."""

_UNSEEN = 137
"""Exit code of an exec whose end nobody saw: its shim was killed, or has forgotten it."""

FilterPath = Callable[[Security], str | None]
"""Gives the compiled seccomp filter for what a container is allowed; None where it has none."""


class ExecConfig(msgspec.Struct, rename="pascal", kw_only=True):
    """The body of POST /containers/{id}/exec."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: Size | None = None
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    env: list[str] | None = None
    working_dir: str = ""
    cmd: Words = None


class ExecStart(msgspec.Struct, rename="pascal", kw_only=True):
    """The body of POST /exec/{id}/start."""

    detach: bool = False
    tty: bool = False
    console_size: Size | None = None


class Exec:
    """One further process, created and perhaps started."""

    def __init__(self, exec_id: str, container: Container, config: ExecConfig) -> None:
        self.id = exec_id
        self.container = container
        self.config = config
        self.running = False
        self.launched = asyncio.Event()
        """Set once the shim has started it, or has not."""
        self.pid = 0
        self.exit_code: int | None = None
        self.fault: Fault | None = None

    @property
    def started(self) -> bool:
        """True once it runs or ran."""
        return self.running or self.exit_code is not None


class Execs:
    """Every exec of this engine; they end with their containers."""

    def __init__(self, *, containers: Containers, grade: Grade, seccomp: FilterPath) -> None:
        self._containers = containers
        self._grade = grade
        self._seccomp = seccomp
        self._all: dict[str, Exec] = {}
        self._ended: deque[str] = deque()

    def get(self, exec_id: str) -> Exec:
        """Return the exec with this id, NotFound otherwise."""
        found = self._all.get(exec_id)
        if found is None or found.container.removing:
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def adopt(self, container: Container, known: Mapping[str, ExecExited | None]) -> None:
        """Take over the execs that a container's shim knows, and what became of them meanwhile."""
        for exec_id in tuple(container.exec_ids):
            if (end := known.get(exec_id, ExecExited(exec_id, _UNSEEN))) is not None:
                self.ended(end)
        for exec_id, end in known.items():
            if exec_id in self._all:
                continue
            found = Exec(exec_id, container, ExecConfig())
            found.running = end is None
            found.launched.set()
            self._all[exec_id] = found
            if end is None:
                container.exec_ids.append(exec_id)
            else:
                found.exit_code, found.fault = end.code, by_signal(end.signal)

    def create(self, reference: str, config: ExecConfig) -> str:
        """Prepare a process for a running container and return its id."""
        container = self._containers.get(reference)
        config.cmd = words(config.cmd)
        if not config.cmd:
            raise InvalidParameter("No exec command specified")
        _running(container)
        if container.state.paused:
            raise Conflict(f"Container {reference} is paused, unpause the container before exec")
        created = Exec(secrets.token_hex(32), container, config)
        self._all[created.id] = created
        container.exec_ids.append(created.id)
        self._publish(created, "exec_create")
        return created.id

    def startable(self, exec_id: str) -> Exec:
        """Return an exec that may be started now; said before its connection leaves HTTP."""
        found = self.get(exec_id)
        if found.running:
            raise Conflict(f"Error: Exec command {exec_id} is already running")
        if found.started:
            raise Conflict(f"Error: Exec command {exec_id} has already run")
        _running(found.container)
        return found

    def unended(self, exec_id: str) -> Exec:
        """Return an exec that runs or is to be started."""
        found = self.get(exec_id)
        if found.exit_code is not None:
            raise Conflict(f"exec {exec_id} has ended")
        return found

    async def start(
        self,
        found: Exec,
        sock: socket.socket | None = None,
        buffered: bytes = b"",
        ready: Awaitable[None] | None = None,
        *,
        framed: bool = True,
    ) -> None:
        """Start an exec; with `sock`, its connection, until then the caller's, is the shim's.

        What it says goes there in Docker's frames, unless it has a tty or `framed` is false.
        `ready` is waited for first. Raises StartFailed; an attached client has read the reason
        already then.
        """
        shim = _running(found.container)
        request = self._request(found, attached=sock is not None, buffered=buffered, framed=framed)
        found.running = True
        self._publish(found, "exec_start")
        try:
            if ready is not None:
                await ready
            # Known only now: of who listened meanwhile the shim has taken no notice.
            watch = found.container.inputs.heard(found.id)
            started = await shim.exec(replace(request, watch=watch), sock)
        except (StartFailed, Unavailable) as error:
            found.fault = failed_start(error)
            self._finish(found, error.exit_code if isinstance(error, StartFailed) else 126)
            raise
        finally:
            found.launched.set()
        if found.running:  # else its exit came with the answer
            found.pid = started.pid

    def _request(
        self, found: Exec, *, attached: bool, buffered: bytes, framed: bool
    ) -> ExecRequest:
        config = found.config
        options = AttachOptions(
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            framed=framed and not config.tty,
            detach_keys=detach_keys(config.detach_keys),
            buffered=buffered,
        )
        return ExecRequest(
            id=found.id,
            process=self._process(found),
            tty=config.tty,
            stdin=config.attach_stdin,
            attach=options if attached else None,
            traced=_may_trace(found.container),
        )

    def _process(self, found: Exec) -> dict[str, Any]:
        """Return the OCI process, which differs from the container's own in what was asked."""
        record, config = found.container.record, found.config
        host = record.host_config
        allowed = privileged() if config.privileged else security(host)
        height, width = (config.console_size or [0, 0])[:2]
        size = {"consoleSize": {"height": height, "width": width}} if height and width else {}
        return {
            "terminal": config.tty,
            **size,
            "args": config.cmd,
            "env": environment(
                record,
                tty=config.tty,
                links=found.container.link_variables,
                extra=config.env or (),
            ),
            "cwd": config.working_dir or record.config.working_dir or "/",
            "capabilities": capability_sets(allowed),
            "noNewPrivileges": allowed.no_new_privileges or self._grade.rootless,
            "oomScoreAdj": host.oom_score_adj,
            "ipycontainer": {
                "user": config.user or record.config.user,
                "groups": host.group_add or [],
                "seccomp": self._seccomp(allowed),
                "namespaces": entered_kinds(host),
                "traced": _may_trace(found.container),
                "ids": id_range(record, self._grade),
            },
        }

    async def capture(
        self, container: Container, config: ExecConfig, kept: int, seconds: float
    ) -> tuple[int, str]:
        """Run a command to its end; return its code, and the beginning of what it said.

        `kept` is in bytes. One that takes longer than `seconds` is killed: TimeoutError.
        """
        found = self.get(self.create(container.id, config))
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            await self.start(self.startable(found.id), theirs, framed=False)
            said = await asyncio.wait_for(_beginning(reader, kept), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            if container.shim is not None:
                with contextlib.suppress(NotFound, Unavailable):
                    await container.shim.signal(signals.SIGKILL, found.id)
            raise
        finally:
            writer.close()
        # The shim tells the code before it closes the stream.
        return found.exit_code if found.exit_code is not None else -1, said

    def ended(self, exited: ExecExited) -> None:
        """Take the end of an exec from the shim."""
        if (found := self._all.get(exited.exec)) and found.running:
            found.fault = by_signal(exited.signal)
            self._finish(found, exited.code)

    def detached(self, exec_id: str) -> None:
        """Tell that a client of an exec has typed the detach keys."""
        if found := self._all.get(exec_id):
            self._publish(found, "exec_detach")

    def abandon(self, container: Container) -> None:
        """Take all execs of a container as killed: its shim is gone."""
        for exec_id in tuple(container.exec_ids):
            if self._all[exec_id].running:
                self._finish(self._all[exec_id], _UNSEEN)

    def _finish(self, found: Exec, code: int) -> None:
        found.running, found.exit_code = False, code
        with contextlib.suppress(ValueError):
            found.container.exec_ids.remove(found.id)
        found.container.inputs.end(found.id)
        self._publish(found, "exec_die", exitCode=str(code), **fault_attributes(found.fault))
        self._ended.append(found.id)
        if len(self._ended) > MOST_ENDED:
            self._all.pop(self._ended.popleft(), None)

    async def resize(self, exec_id: str, width: int, height: int) -> None:
        """Set the size of an exec's terminal, in characters."""
        found = self.get(exec_id)
        if not found.running or found.container.shim is None:
            raise Conflict(f"exec process is not started: {exec_id}")
        await found.launched.wait()
        await found.container.shim.resize(width, height, exec_id)

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """Return GET /exec/{id}/json."""
        found = self.get(exec_id)
        config, command = found.config, words(found.config.cmd) or [""]
        process: dict[str, Any] = {
            "tty": config.tty,
            "entrypoint": command[0],
            "arguments": command[1:],
            "privileged": config.privileged,
        }
        if config.user:
            process["user"] = config.user
        fault = {} if found.fault is None else {"Fault": msgspec.to_builtins(found.fault)}
        return {
            "ID": found.id,
            "Running": found.running,
            "ExitCode": found.exit_code,
            "ProcessConfig": process,
            "OpenStdin": config.attach_stdin,
            "OpenStderr": config.attach_stderr,
            "OpenStdout": config.attach_stdout,
            "CanRemove": False,
            "ContainerID": found.container.id,
            "DetachKeys": config.detach_keys,
            "Pid": found.pid,
            **fault,
        }

    def _publish(self, found: Exec, action: str, **attributes: str) -> None:
        first, *others = words(found.config.cmd) or [""]
        # Docker puts a space behind a command that is a single word.
        bare = action in ("exec_die", "exec_detach")
        named = action if bare else f"{action}: {first} {' '.join(others)}"
        self._containers.publish(found.container, named, execID=found.id, **attributes)


def _running(container: Container) -> ShimConnection:
    if not container.state.running or container.shim is None:
        raise not_running(container)
    return container.shim


def _may_trace(container: Container) -> bool:
    """Tell whether a process of the container may trace others that have more rights than itself.

    A privileged one need not: it may do all of that by itself.
    """
    host = container.record.host_config
    return not host.privileged and "CAP_SYS_PTRACE" in security(host).capabilities


async def _beginning(reader: asyncio.StreamReader, kept: int) -> str:
    """Read to the end, and return the beginning as text, with dots where it goes on."""
    said = b""
    while chunk := await reader.read(65536):
        said = (said + chunk)[: kept + 1]
    text = said[:kept].decode(errors="replace")
    return text + "..." if len(said) > kept else text
