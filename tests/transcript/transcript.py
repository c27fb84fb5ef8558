"""Run the command lines of a file against one engine and keep what they said."""

import ast
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from masks import masked

HERE = Path(__file__).parent
LINE_SECONDS = 60
TYPED = re.compile(r'@tty((?: "(?:[^"\\]|\\.)*")*) (.*)')


class Line(NamedTuple):
    """One command line, and what to type at its terminal.

    `typed` is None where there is no terminal, else pairs of what to wait for and what to type.
    """

    text: str
    command: str
    typed: Sequence[tuple[bytes, bytes]] | None


class Said(NamedTuple):
    """What one command line answered, masked."""

    stdout: str
    stderr: str
    code: int


def lines(name: str = "commands.txt") -> Iterator[Line]:
    """Yield the command lines of one file in order."""
    for text in (HERE / name).read_text().splitlines():
        if text and not text.startswith("#"):
            yield _parse(text)


def _parse(text: str) -> Line:
    found = TYPED.fullmatch(text)
    if not found:
        return Line(text, text, None)
    words = [ast.literal_eval(f"b{word}") for word in re.findall(r'"(?:[^"\\]|\\.)*"', found[1])]
    return Line(text, found[2], tuple(zip(words[::2], words[1::2], strict=True)))


def run(line: Line, environment: Mapping[str, str]) -> Said:
    """Run one line by sh; a line that hangs for a minute is killed with its whole session."""
    if line.typed is not None:
        return _at_a_terminal(line.command, line.typed, environment)
    process = subprocess.Popen(
        ["sh", "-c", line.command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=LINE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += b"<hangs>"
    return Said(masked(out.decode()), masked(err.decode()), process.returncode)


def _at_a_terminal(
    command: str, typed: Sequence[tuple[bytes, bytes]], environment: Mapping[str, str]
) -> Said:
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe("sh", ["sh", "-c", command], dict(environment))
    try:
        termios.tcsetwinsize(master, (24, 80))
        said, code = _converse(pid, master, list(typed))
    finally:
        os.close(master)
    return Said(masked(said), "", code)


def _converse(pid: int, master: int, typed: list[tuple[bytes, bytes]]) -> tuple[str, int]:
    said, unread, deadline = b"", b"", time.monotonic() + LINE_SECONDS
    while True:
        ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            os.killpg(pid, signal.SIGKILL)
        try:
            heard = os.read(master, 65536) if ready else b""
        except OSError:  # EIO: nobody has the terminal open any more
            heard = b""
        if not heard:
            break
        said, unread = said + heard, unread + heard
        if typed and typed[0][0] in unread:
            awaited, answer = typed.pop(0)
            unread = unread.split(awaited, 1)[1]
            os.write(master, answer)
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
