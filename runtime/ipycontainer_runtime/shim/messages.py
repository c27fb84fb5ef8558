"""What the engine asks of a shim and what it is told, and how each is said in the protocol."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ..errors import Conflict, NotFound, StartFailed
from ..linux.channel import Message


@dataclass(frozen=True, slots=True)
class Exited:
    """The container's first process ended and its exit.json is written.

    `code` is 128 + n after signal n; `at` and `started_at` are RFC 3339 with nanoseconds.
    """

    code: int
    signal: int
    at: str
    oom: bool
    started_at: str
    times: dict[str, int] = field(default_factory=dict)
    """Moments of the run by the monotonic clock, in nanoseconds: see `engine.moments`."""
    peak: int = 0
    """The most memory, in bytes, that one which ran out of it had; 0 where nobody knows."""


@dataclass(frozen=True, slots=True)
class ExecExited:
    """An exec'd process ended, by `signal` when that is not 0."""

    exec: str
    code: int
    signal: int = 0


@dataclass(frozen=True, slots=True)
class Detached:
    """A client of the container, or of the exec named, typed the detach keys."""

    exec: str | None


@dataclass(frozen=True, slots=True)
class InputWanted:
    """Whether a process waits for the input of the container, or of the exec named.

    `echo` is false while what is typed is not to be seen; `line` is the unfinished line that was
    written last, `process` the name of who waits. Both are the container's own words.
    """

    exec: str | None
    wanted: bool
    echo: bool = True
    line: str = ""
    process: str = ""


Event: TypeAlias = Exited | ExecExited | Detached | InputWanted
OnEvent: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What a client's connection is to carry.

    `framed` is Docker's multiplexing, wanted unless there is a tty. `detach_keys` is what
    `detach.parse` returns; `buffered` are the bytes that the client sent already. `logs` replays
    the log first and `stream` goes on with what comes.
    """

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    logs: bool = False
    stream: bool = True
    framed: bool = True
    detach_keys: bytes = b"\x10\x11"
    buffered: bytes = b""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Where and how output is logged; `options` are Docker's max-size, max-file, compress."""

    driver: str
    path: Path
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A container to start: its bundle, its streams, its limits, and where exit.json goes.

    `stdin` keeps the container's input open (Docker's OpenStdin); `stdin_once` closes it when the
    first attached client ends its side; `lease` kills the container then. `resources` is
    `linux.resources` of the OCI spec.
    """

    spec: dict[str, Any]
    state_dir: Path
    log: LogOptions
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    lease: bool = False
    resources: dict[str, Any] = field(default_factory=dict)
    runtime: str = ""
    """The path of another OCI runtime that is to run it; empty for our launcher."""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A process to run in a container; without `attach` it runs detached, its output discarded."""

    id: str
    process: dict[str, Any]
    tty: bool = False
    stdin: bool = False
    attach: AttachOptions | None = None
    failure: str = "%s\r\n"
    """What an attached client reads when the process cannot be started; %s is the reason."""
    watch: bool = False
    """Whether to tell when its input is waited for, from its beginning."""
    traced: bool = False
    """Whether others in the container may trace it, and so may not see it before it is launched."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that has executed its command; `pid` is the host's number for it.

    `cgroup` is the name under which `linux.cgroup` opens the container's, "" for an exec.
    """

    pid: int
    started_at: str
    cgroup: str = ""
    times: dict[str, int] = field(default_factory=dict)
    told: str = ""
    """The launcher's account (`launch.account`), where one was asked for."""


@dataclass(frozen=True, slots=True)
class ShimStatus:
    """What a shim knows. `execs` maps the id of an exec to its end, None while it runs."""

    pid: int
    started_at: str
    execs: dict[str, ExecExited | None]
    clients: int
    cgroup: str
    times: dict[str, int]


def start_message(request: StartRequest) -> Message:
    """Return a container's start as the shim is asked for it."""
    return {
        "do": "start",
        "spec": _text(request.spec),
        "namespaces": _new_namespaces(request.spec),
        "pid_namespace": _pid_namespace(request.spec),
        "ids": request.spec.get("ipycontainer", {}).get("ids"),
        "stdio": {
            "tty": request.tty,
            "stdin": request.stdin,
            "stdin_once": request.stdin_once,
            "lease": request.lease,
        },
        "log": {
            "driver": request.log.driver,
            "path": str(request.log.path),
            "options": request.log.options,
        },
        "resources": request.resources,
        "runtime": request.runtime,
        "state_dir": str(request.state_dir),
    }


def attach_message(options: AttachOptions) -> Message:
    """Return an attachment as the shim is asked for it; the client's connection goes with it."""
    return {"do": "attach", **_attachment(options)}


def exec_message(request: ExecRequest) -> Message:
    """Return an exec as the shim is asked for it; its client's connection goes with it, if any."""
    return {
        "do": "exec",
        "exec": request.id,
        "process": _text(request.process),
        "stdio": {"tty": request.tty, "stdin": request.stdin, "stdin_once": True},
        "attach": _attachment(request.attach) if request.attach else None,
        "failure": request.failure,
        "traced": request.traced,
        "watch": request.watch,
    }


def started_from(reply: Message) -> Started:
    """Return what a shim answered to a start or an exec."""
    return Started(
        reply["pid"],
        reply["started_at"],
        reply.get("cgroup", ""),
        reply.get("times", {}),
        reply.get("told", ""),
    )


def status_from(reply: Message) -> ShimStatus:
    """Return what a shim told of itself."""
    return ShimStatus(
        reply["pid"],
        reply["started_at"],
        {name: ExecExited(name, *end) if end else None for name, end in reply["execs"].items()},
        reply["clients"],
        reply["cgroup"],
        reply.get("times", {}),
    )


def error_from(reply: Message) -> Exception:
    """Return the error that a shim answered: NotFound, Conflict or StartFailed."""
    if reply.get("refused"):
        return Conflict(reply["error"])
    if reply.get("missing"):
        return NotFound(reply["error"])
    return StartFailed(
        reply["error"],
        exit_code=reply.get("exit", 125),
        step=reply.get("step", ""),
        times=reply.get("times"),
        told=reply.get("told", ""),
    )


def event_from(message: Message) -> Event:
    """Return the event that a shim sent."""
    if message["event"] == "exit":
        return Exited(
            message["code"],
            message["signal"],
            message["at"],
            message["oom"],
            message["started_at"],
            message.get("times", {}),
            message.get("peak", 0),
        )
    if message["event"] == "exec-exit":
        return ExecExited(message["exec"], message["code"], message.get("signal", 0))
    if message["event"] == "input":
        told = {name: message[name] for name in ("echo", "line", "process") if name in message}
        return InputWanted(message["exec"], message["wanted"], **told)
    return Detached(message.get("exec"))


def _attachment(options: AttachOptions) -> Message:
    return {
        "stdin": options.stdin,
        "stdout": options.stdout,
        "stderr": options.stderr,
        "logs": options.logs,
        "stream": options.stream,
        "framed": options.framed,
        # JSON has no bytes; Latin-1 gives each one character.
        "detach_keys": options.detach_keys.decode("latin-1"),
        "buffered": options.buffered.decode("latin-1"),
    }


def _pid_namespace(spec: dict[str, Any]) -> str:
    """Return the path of the pid namespace to join; empty for none."""
    namespaces = spec.get("linux", {}).get("namespaces", [])
    return next((n.get("path", "") for n in namespaces if n["type"] == "pid"), "")


def _new_namespaces(spec: dict[str, Any]) -> list[str]:
    namespaces = spec.get("linux", {}).get("namespaces", [])
    return [namespace["type"] for namespace in namespaces if not namespace.get("path")]


def _text(bundle: dict[str, Any]) -> str:
    """Encode what only the nursery reads, so that the shim need not."""
    return msgspec.json.encode(bundle).decode()
