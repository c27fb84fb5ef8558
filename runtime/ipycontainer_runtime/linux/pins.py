"""Tiny processes that keep namespaces while engines come and go: recorded, found again, ended.

A pin does nothing but sleep. It is recorded in a file of the run folder with the moment at which it
began, since its number alone might be another process's by now.
"""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

# `sleep infinity` is not POSIX's: so many seconds instead.
COMMAND = [shutil.which("sleep", path=os.defpath) or "/bin/sleep", "2147483647"]
"""What a pin executes."""


class Pin(NamedTuple):
    """The process that keeps a namespace: a number alone might be another's by now."""

    pid: int
    started: int


def opened(path: Path) -> int | None:
    """Return a pidfd of the recorded pin if that is still the same process and ours."""
    try:
        pin = Pin(**json.loads(path.read_text()))
        pidfd = os.pidfd_open(pin.pid)
    except (FileNotFoundError, ProcessLookupError, ValueError, TypeError):
        return None
    # The pidfd holds the process that has the number now; only then is it looked at.
    if _start_time(pin.pid) == pin.started and _owner(pin.pid) == os.geteuid():
        return pidfd
    os.close(pidfd)
    return None


def pid_of(pidfd: int) -> int:
    """Return the number of the process that a pidfd holds, -1 when it has ended."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pid:"))


def record(path: Path, pid: int) -> None:
    """Have later engines find this process."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(Pin(pid, _start_time(pid))._asdict()))
    temporary.rename(path)


def release(path: Path) -> None:
    """End the recorded pin, and see it gone; without one nothing happens."""
    pidfd = opened(path)
    path.unlink(missing_ok=True)
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except (ProcessLookupError, ChildProcessError):
        return  # it had ended, or an earlier engine is its parent and init reaps it
    finally:
        os.close(pidfd)


def _start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _owner(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return -1
