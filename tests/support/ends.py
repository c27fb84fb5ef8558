"""Start a program of the test's own, wait for the event that says it is ready, and end it."""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

READY_SECONDS = 60
LEAVE_SECONDS = 30


def start_notifying(
    command: Sequence[str], notify: Path, log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` and return once it has sent systemd's READY=1 to the socket `notify`.

    Raises RuntimeError with the end of `log` when it ends, or says nothing for a minute.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, log.open("wb") as out:
        ready.bind(str(notify))
        environment = {**os.environ, **(env or {}), "NOTIFY_SOCKET": str(notify)}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        pidfd = os.pidfd_open(process.pid)
        try:
            while True:
                heard, _, _ = select.select([ready, pidfd], [], [], READY_SECONDS)
                if ready in heard and b"READY=1" in ready.recv(4096):
                    return process
                if not heard or pidfd in heard:
                    end(process)
                    raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
        finally:
            os.close(pidfd)


def end(process: subprocess.Popen[bytes]) -> None:
    """End `process` politely, and by force when it has not left within half a minute."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
