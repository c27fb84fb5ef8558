"""One command in a sandbox: an exec with its streams gathered, bounded and with a deadline."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from ..attached import start_exec
from ..failures import Failure
from ..scripted import Given
from ..signals import Signals
from ..streams import Relay
from ..surface import STDOUT
from .errors import TimedOut
from .turn import interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..session import Session

_MOST_OUTPUT = 256 << 20
_LONGEST_PID = 20
_TELLS_WITHIN = 10.0
# The Engine API cannot signal an exec, so the command tells its process number first.
_TELLING = ("/bin/sh", "-c", 'echo $$ && exec "$@"', "sh")
# An exec is the leader of its session: with its number negative its children are ended too.
# The form that dash, bash and busybox all take.
_KILL = 'kill -9 "-$1"'


class Completed(NamedTuple):
    """A command that has ended: its words, its exit code, and what it wrote."""

    args: tuple[str, ...]
    code: int
    stdout: str | bytes
    stderr: str | bytes


class Order(NamedTuple):
    """A command to be run, and how."""

    args: tuple[str, ...]
    input: bytes
    env: Mapping[str, str] | None
    cwd: str | None
    user: str
    timeout: float | None


class _Late(Exception):  # noqa: N818 - it is caught next door
    """The deadline has passed."""


class _Gathered:
    """What a relay writes to: two buffers. Interrupts and the deadline end the relay."""

    def __init__(self, signals: Signals, deadline: float | None, *, tells: bool) -> None:
        self._signals = signals
        self._deadline = deadline
        self._tells = tells
        self.pid = 0
        self.out = bytearray()
        self.err = bytearray()

    @property
    def wake(self) -> int | None:
        """Readable when this was interrupted."""
        return self._signals.wake

    def woken(self) -> None:
        """Give up when there was an interrupt."""
        if self._signals.take():
            raise KeyboardInterrupt

    def tick(self) -> float | None:
        """Return the seconds that are left."""
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if self._tells:
            left += _TELLS_WITHIN  # without its number it could not be ended
        if left <= 0:
            raise _Late
        return left

    def write(self, stream: int, data: memoryview) -> None:
        """Take bytes; the first line is not the command's."""
        (self.out if stream == STDOUT else self.err).extend(data)
        if self._tells and stream == STDOUT:
            self._tell()
        if len(self.out) + len(self.err) > _MOST_OUTPUT:
            raise Failure(
                f"the command wrote more than {_MOST_OUTPUT >> 20} MB, and was ended: redirect it"
                " to a file, and get() that"
            )

    def _tell(self) -> None:
        line, newline, rest = self.out.partition(b"\n")
        if newline or len(line) > _LONGEST_PID:
            self._tells = False
            if line.isdigit():
                self.pid, self.out = int(line), rest

    def flush(self) -> None:
        """Do nothing: all is gathered."""


def run(session: Session, container: str, order: Order, *, shell: bool) -> Completed:
    """Run a command to its end; `shell` says whether the image has a /bin/sh.

    Raises TimedOut, KeyboardInterrupt and, for endless output, Failure; the command is ended then.
    """
    signals = Signals()
    deadline = None if order.timeout is None else time.monotonic() + order.timeout
    gathered = _Gathered(signals, deadline, tells=shell)
    made = _create(session, container, order, shell=shell)
    with signals.catching(interrupts()):
        try:
            _relay(session, made, gathered, order.input)
        except BaseException as error:
            ended = gathered.pid > 0 and kill(session, container, gathered.pid)
            if not isinstance(error, _Late):
                raise
            how = "was ended" if ended else "goes on: the image has no /bin/sh that could end it"
            told = f"{order.args[0]!r} ran longer than its timeout of {order.timeout:g} s and {how}"
            raise TimedOut(told, bytes(gathered.out), bytes(gathered.err)) from None
    code = session.api.exec_inspect(made)["ExitCode"]
    status = -1 if code is None else int(code)
    return Completed(order.args, status, bytes(gathered.out), bytes(gathered.err))


def _create(session: Session, container: str, order: Order, *, shell: bool) -> str:
    made = session.api.exec_create(
        container,
        [*(_TELLING if shell else ()), *order.args],
        stdin=bool(order.input),
        user=order.user,
        environment=dict(order.env) if order.env else None,
        workdir=order.cwd,
    )
    return str(made["Id"])


def _relay(session: Session, made: str, gathered: Any, data: bytes) -> None:
    with ExitStack() as undo:
        connection = start_exec(session, made, tty=False)
        undo.callback(connection.close)
        relay = Relay(connection, gathered, Given(data) if data else None, tty=False)
        undo.callback(relay.close)
        relay.run()


def kill(session: Session, container: str, pid: int) -> bool:
    """End a process of the container and what belongs to its session; False when that failed."""
    from docker.errors import APIError

    if pid <= 1:
        return False  # -1 would be all of them
    try:
        made = session.api.exec_create(container, ["/bin/sh", "-c", _KILL, "sh", str(pid)])["Id"]
        session.api.exec_start(made)
        return bool(session.api.exec_inspect(made)["ExitCode"] == 0)
    except APIError:
        return False  # the container has gone, and the process with it


def words(args: Sequence[object]) -> Iterator[str]:
    """Yield a command's words as text; raises Failure for a line of a shell."""
    if isinstance(args, (str, bytes)) or not args:
        raise Failure(
            f"{args!r} is no list of words; write ['ls', '-l'], or ['sh', '-c', LINE] for a shell"
        )
    for word in args:
        text = str(word)
        if "\0" in text:
            raise Failure(f"{text!r}: an argument cannot hold a NUL character")
        yield text
