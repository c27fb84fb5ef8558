"""The first process of a container with `--init`: it forks the command, passes signals on, reaps.

What runs as process 1 gets no signal that it has no handler for, and every orphan becomes its
child; most programs are written for neither. Docker mounts a foreign binary for this; here it is
the launcher itself, which has given up its privileges by then and cannot be looked into.
"""

import ctypes
import os
import signal
import termios

from ipycontainer_runtime.launch.syscalls import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    prctl,
)


def fork_command(status: int) -> None:
    """Return in a new process, which is to execute the command; its parent stays until it ends.

    `status` is the descriptor that the command's exec closes: the parent must not hold it.
    """
    signals = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # The launcher comes from a process that ignores it, and what is ignored leaves no exit code.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if os.getpid() != 1:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    command = os.fork()
    if not command:
        _stand_alone()
        return
    try:
        for fd in (0, 1, 2, status):
            os.close(fd)
        _rename()
        code = _tend(command, signals)
    except BaseException:
        code = 125
    os._exit(code)


def _stand_alone() -> None:
    """Have keys of the terminal reach the command once: directly, and not from its parent too."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    try:
        os.tcsetpgrp(0, os.getpid())
    except (OSError, termios.error):
        return  # there is no terminal


def _rename() -> None:
    """Be called `init` in lists of processes, and not by the path of the host's interpreter."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        # proc_pid_stat(5): arg_start is the 48th field, arg_end the 49th; here the 3rd comes first.
        start, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return  # something else is mounted there: the name is all that is lost
    name = b"init"
    if end - start > len(name):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, name, len(name))


def _tend(command: int, signals: "set[signal.Signals]") -> int:
    """Pass signals on and reap, until the command has ended; return its exit code."""
    while True:
        number = signal.sigwait(signals)
        if number != signal.SIGCHLD:
            os.kill(command, number)  # not reaped yet, so the number is still its own
            continue
        for pid, status in _reaped():
            if pid == command:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code


def _reaped() -> "list[tuple[int, int]]":
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, status))
