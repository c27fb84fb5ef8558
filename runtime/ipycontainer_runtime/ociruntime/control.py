"""What is done to a container that is there: start, signals, pause, limits, figures, removal."""

import contextlib
import errno
import json
import os
import select
import signal
import sys
from typing import Any

from ..errors import Conflict, ContainerError, InvalidParameter, NotFound
from . import hooks, states
from .groups import Groups
from .states import Container

END_SECONDS = 10


def start(container: Container) -> None:
    """Have a created container execute its command."""
    with states.locked(container):
        status = container.status()
        if status != "created":
            raise Conflict(f"cannot start a container that is {status}: {container.id}")
        try:
            fifo = os.open(container.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            raise Conflict(f"container not running: {container.id} was killed") from error
        os.write(fifo, b"s")
        os.close(fifo)
        os.unlink(container.fifo)
    try:
        hooks.run(container.spec, "poststart", container.state())
    except ContainerError as error:
        warn(container, error)


def kill(container: Container, number: int, *, every: bool) -> None:
    """Send a signal to the first process, or to every one in its cgroup."""
    groups = container.groups
    if every:
        for pid in groups.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    else:
        fd = container.pidfd()
        try:
            signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
    if number == signal.SIGKILL and groups.frozen():
        groups.cgroup.freeze(False)  # on v1 a frozen process does not die


def delete(container: Container, *, force: bool) -> None:
    """Remove a container that has stopped, or was never started; by force any."""
    with states.locked(container):
        status = container.status()
        if status not in ("stopped", "creating") and not (force or status == "created"):
            raise Conflict(
                f"cannot delete container {container.id} that is not stopped: {status}; use --force"
            )
        groups = container.groups
        if status not in ("stopped", "creating"):
            _end(container, groups)
        groups.kill()
        groups.remove()
        container.forget()
    try:
        hooks.run(container.spec, "poststop", container.state("stopped"))
    except ContainerError as error:
        warn(container, error)


def _end(container: Container, groups: Groups) -> None:
    fd = container.pidfd()
    try:
        kill(container, signal.SIGKILL, every=False)
        groups.kill()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(END_SECONDS * 1000):
            raise Conflict(f"container {container.id} does not end: its process is in the kernel")
    finally:
        os.close(fd)


def pause(container: Container, *, paused: bool) -> None:
    """Stop every process of a container, or let them go on."""
    status, wanted = container.status(), "running" if paused else "paused"
    if status != wanted and not (paused and status == "created"):
        verb = "pause" if paused else "resume"
        raise Conflict(f"cannot {verb} a container that is {status}: {container.id}")
    container.groups.cgroup.freeze(paused)


def update(container: Container, resources: dict[str, Any]) -> None:
    """Change the limits of a container; what is not named stays."""
    if container.status() == "stopped":
        raise Conflict(f"container not running: {container.id} is stopped")
    container.groups.limit(
        {name: limits for name, limits in resources.items() if name != "devices"}
    )


def read_resources(path: str) -> dict[str, Any]:
    """Return the limits in a file, `-` for standard input."""
    try:
        if path == "-":
            resources = json.load(sys.stdin)
        else:
            with open(path, encoding="utf-8") as file:
                resources = json.load(file)
    except FileNotFoundError as error:
        raise NotFound(f"--resources: there is no {path}") from error
    except ValueError as error:
        raise InvalidParameter(f"--resources: {path} is not JSON: {error}") from error
    if not isinstance(resources, dict):
        raise InvalidParameter(f"--resources: {path} holds no object")
    return resources


def signal_number(text: str) -> int:
    """Return the number of a signal: 15, TERM or SIGTERM; raises InvalidParameter."""
    if text.isdecimal() and 0 <= int(text) < signal.NSIG:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    try:
        return int(signal.Signals[name])
    except KeyError as error:
        raise InvalidParameter(f"unknown signal {text!r}: see signal(7)") from error


def warn(container: Container, error: Exception) -> None:
    """Say what went wrong too late to matter: by the spec such hooks end nothing."""
    print(f"{container.id}: {error}", file=sys.stderr)
