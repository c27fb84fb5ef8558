"""How a run ended, or why it never began, in a person's words.

Our engine tells it as data, see `Fault` in the runtime's records. Of any other engine only the exit
code, the word of an out-of-memory kill, and the text of its message are known.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .cures import cured
from .failures import (
    CANNOT_EXECUTE,
    ENGINE_FAILED,
    KILLED,
    NOT_FOUND,
    ContainerExit,
    Failure,
    StartFailure,
)

if TYPE_CHECKING:
    from docker.errors import APIError

    from .session import Session

TIMEOUT = "io.ipycontainer.timeout"
"""The annotation by which our engine is told how many seconds a container may run."""
_START_CODES = {"command-not-found": NOT_FOUND, "command-not-executable": CANNOT_EXECUTE}

# What runc and its kin put before the reason.
_PREAMBLE = re.compile(r"^.*?unable to start container process: ", re.DOTALL)


class Ending(NamedTuple):
    """The exit code, and what our engine says of an end that came from outside."""

    code: int
    fault: str | None = None
    """oom, timeout or killed."""
    signal: int = 0
    peak: int = 0
    """The most memory that one which ran out of it had, in bytes; 0 where nobody knows."""


def check_ending(
    session: Session, container: str, ending: Ending, *, name: str | None, flags: dict[str, Any]
) -> None:
    """Raise `ContainerExit` for a run that did not end well, with its reason and its limit.

    `flags` are those of a `run`: they tell the limits when the container is removed already.
    """
    from docker.errors import NotFound

    fault, memory, timeout = ending.fault, _bytes(flags.get("memory")), flags.get("timeout")
    try:
        details = session.api.inspect_container(container)
    except NotFound:
        name = name or container[:12]
        if fault is None and ending.code == KILLED and was_out_of_memory(session, container):
            fault = "oom"
    else:
        host = details["HostConfig"]
        memory = int(host.get("Memory") or 0)
        timeout = timeout or (host.get("Annotations") or {}).get(TIMEOUT)
        name = name or details["Name"].lstrip("/")
        if fault is None and ending.code == KILLED and details["State"].get("OOMKilled"):
            fault = "oom"
    limit = memory if fault == "oom" else None
    raise ContainerExit(
        name, ending.code, limit, fault=fault, signal=ending.signal, timeout=timeout
    )


def was_out_of_memory(session: Session, container: str) -> bool:
    """Ask the engine's past events: with `--rm` there is nothing left to inspect."""
    filters = {"container": [container], "event": ["oom"]}
    # An `until` that has passed ends the stream.
    past = session.api.events("1", f"{time.time():.6f}", filters, decode=True)
    return any(True for _ in past)


def _bytes(size: str | None) -> int:
    from docker.utils import parse_bytes

    return int(parse_bytes(size)) if size else 0


def start_failure(error: APIError, program: str = "") -> StartFailure:
    """Return the failure of a `start`, with the exit code that the `docker` command gives it.

    With `program`, how verbs are called, it tells what helps.
    """
    message = str(error.explanation)
    fault = _fault(error)
    if fault is None:
        told = _PREAMBLE.sub("", message).removesuffix(": unknown")
        return StartFailure(cured(told, program) if program else told, _guessed(message))
    kind, step = fault["Kind"], fault.get("Step", "")
    code = _START_CODES.get(kind, ENGINE_FAILED)
    if code == ENGINE_FAILED and step and step not in message:
        message = f"{message} (the start failed at: {step})"
    message = cured(message, program) if program else message
    return StartFailure(message, code, fault=kind, step=step)


def exec_failure(container: str, code: int, fault: dict[str, Any] | None) -> Failure:
    """Return the failure of an exec that did not end well; `fault` is our engine's word of it."""
    if fault is None:
        return ContainerExit(container, code, exec_=True)
    if "Step" in fault:
        return StartFailure(fault["Message"], code, fault=fault["Kind"], step=fault["Step"])
    kind, signal = fault["Kind"], fault.get("Signal", 0)
    return ContainerExit(container, code, fault=kind, signal=signal, exec_=True)


def _fault(error: APIError) -> dict[str, Any] | None:
    if error.response is None:
        return None
    try:
        found = error.response.json().get("Fault")
    except (AttributeError, ValueError):
        return None  # another engine's words
    return found if isinstance(found, dict) else None


def _guessed(message: str) -> int:
    lowered = message.lower()
    if any(s in lowered for s in ("not found", "no such file or directory")):
        return NOT_FOUND
    if any(s in lowered for s in ("permission denied", "is a directory", "exec format")):
        return CANNOT_EXECUTE
    return ENGINE_FAILED
