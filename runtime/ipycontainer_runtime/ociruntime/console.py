"""The terminal of a process: handed to the caller's socket, or copied to our own."""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import tty
from collections.abc import Iterator
from typing import Any

from ..errors import InvalidParameter
from .birth import Birth, waited


def check(process: dict[str, Any], console_socket: str | None, *, relayed: bool = False) -> None:
    """Refuse a console socket without a terminal; and a terminal without either, when detached."""
    if console_socket and not process.get("terminal"):
        raise InvalidParameter("--console-socket is of use only with process.terminal")
    if process.get("terminal") and not console_socket and not relayed:
        raise InvalidParameter("process.terminal needs --console-socket: nobody would read it")


def hand_over(birth: Birth, process: dict[str, Any], console_socket: str | None) -> None:
    """Set the terminal's size, and send its master to the caller's socket when there is one."""
    if birth.console < 0:
        return
    size = process.get("consoleSize") or {}
    if size.get("height") and size.get("width"):
        _resize(birth.console, struct.pack("4H", size["height"], size["width"], 0, 0))
    if console_socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(console_socket)
            socket.send_fds(sock, [b"/dev/pts/0"], [birth.console])
        os.close(birth.console)
        birth.console = -1


def attended(birth: Birth) -> int:
    """Wait for a child in the foreground, passing signals on; return its exit code."""
    passed = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
    for number in passed:
        signal.signal(number, lambda got, frame: _signal(birth.pid, got))
    if birth.console >= 0:
        with _raw():
            _copy(birth.console)
    return waited(birth.pid)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _copy(master: int) -> None:
    """Copy between our standard streams and the terminal until nobody has its other end."""

    def follow_size(*_: object) -> None:
        with contextlib.suppress(OSError):  # our input is no terminal
            _resize(master, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))

    signal.signal(signal.SIGWINCH, follow_size)
    follow_size()
    sources = [0, master]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if master in ready:
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other end is closed
                return
            _write(1, data)
        if 0 in ready:
            data = os.read(0, 65536)
            if data:
                _write(master, data)
            else:
                sources.remove(0)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Have our own terminal pass every key on."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _resize(fd: int, size: bytes) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, size)
