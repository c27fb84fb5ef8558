"""One process of a container, the first or an exec'd one, from its launch to its end."""

import os
import signal
import time
from socket import SocketType

from ..linux.channel import ProtocolError, receive_packet
from ..linux.loop import IN
from .clock import rfc3339
from .streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..linux.channel import Message

    Answer = Callable[[Message], None]

MOST_TOLD = 4 << 20  # characters of a launcher's account that are kept
KILLED = "the process was killed before its command ran; is the memory limit too low?"


class Process:
    """Follows a launch and an exit, which may be seen in any order.

    `begin` makes its streams, `take` names the process once it is cloned, or a helper that will
    clone it and tell (see launch.become_exec), and `follow` gives the
    `answer` to be called once: a launch has succeeded when `status` has ended without an error.
    `on_end` is called once after it, when the process has been reaped.
    """

    def __init__(self, streams: Streams, on_end: "Callable[[Process], None]") -> None:
        self.streams = streams
        self.pid = 0
        self.pidfd = -1
        self.started_at = ""
        self.times: dict[str, int] = {}
        """Moments by the monotonic clock, in nanoseconds."""
        self.told = ""
        """The launcher's account, where one was asked for."""
        self.code: int | None = None
        self.signal = 0
        self.error: Message | None = None
        self.begun = False
        self.ended = False
        self._status: SocketType | None = None
        self._by_helper = False  # whether `pid` is still the helper's
        self._answer: Answer | None = None
        self._on_end = on_end

    @property
    def running(self) -> bool:
        """Whether its command was executed and has not ended."""
        return self.begun and not (self._answer or self.error or self.ended)

    def take(self, pid: int, status: SocketType, *, helper: bool = False) -> None:
        """Take the process that was cloned, or its helper, and the socket of its launcher."""
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # nobody would know of it
            status.close()
            raise
        self.pid, self._by_helper = pid, helper
        self._status = status

    def begin(self, stdio: "Message", silent: bool = False) -> list[int]:
        """Make its streams and return the far ends: 0, 1 and 2, or none for a terminal.

        `silent` gives a process that nobody listens to /dev/null.
        """
        self.begun = True
        self.streams.tty = stdio["tty"]
        self.streams.stdin_once = stdio["stdin_once"]
        self.streams.end_lease = self._end_lease if stdio.get("lease") else None
        if stdio["tty"]:
            return []
        with _Opened() as opened:
            stdin, ours = opened.pipe() if stdio["stdin"] else (opened.null(), -1)
            if silent:
                outputs, theirs = [], [stdin, opened.null(), opened.null()]
            else:
                out, stdout = opened.pipe()
                err, stderr = opened.pipe()
                outputs, theirs = [out, err], [stdin, stdout, stderr]
        self.streams.begin(ours, outputs)
        return theirs

    def follow(self, answer: "Answer") -> None:
        """Wait for the outcome of the launch."""
        self._answer = answer
        if self.code is not None:
            self.fail(KILLED)
        elif self._status is not None:
            self.streams.loop.watch(self._status.fileno(), IN, self._read_status)

    def fail(self, error: str) -> None:
        """The launch has come to nothing, for a reason that the launcher does not know."""
        self.error = {"error": error, "step": "prepare", "exit": 125}
        self._end_status()  # a first process that still waits for its bundle leaves then
        self._advance()

    def _read_status(self, events: int) -> None:
        self._hear()

    def _hear(self) -> bool:
        """Take one message of the launcher's; False when there is none."""
        if self._status is None:
            return False
        try:
            packet = receive_packet(self._status)
        except BlockingIOError:
            return False
        except OSError:
            packet = None
        except ProtocolError as error:  # who traces it may make it say anything
            self.fail(str(error))
            self.kill(signal.SIGKILL)
            return False
        if packet is None:
            self._end_status()
            self._advance()
            return False
        message, fds = packet
        if "console" in message:
            self.streams.begin_terminal(fds.pop())
        elif "pid" in message:
            self._change_to(message["pid"])
        elif "launched" in message:
            self._take_over(message["launched"])
        elif "told" in message:
            if len(self.told) < MOST_TOLD:
                self.told += str(message["told"])
        else:
            self.error = message
        return True

    def hear_helper(self) -> None:
        """Take what a helper has told: called before any end is, as it told of each before that."""
        while self._by_helper and self._hear():
            pass

    def _change_to(self, pid: int) -> None:
        """Take the process that a helper has cloned; nobody else is believed."""
        if not self._by_helper:
            return
        os.waitid(
            os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
        )  # raises for no child of ours
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # out of descriptors: nobody could signal it
        else:
            os.close(self.pidfd)
            self.pidfd = pidfd
        self.pid, self._by_helper = pid, False

    def _take_over(self, pid: int) -> None:
        """Take the process that another runtime has launched: its caller's until we answer."""
        if self._by_helper and self._status is not None:
            pidfd = os.pidfd_open(pid)
            os.close(self.pidfd)
            self.pid, self.pidfd, self._by_helper = pid, pidfd, False
            self._status.send(b"x")

    def _end_status(self) -> None:
        if self._status is not None:
            self.streams.loop.forget(self._status.fileno())
            self._status.close()
            self._status = None

    def reaped(self, status: int) -> None:
        """Take its wait status."""
        code = os.waitstatus_to_exitcode(status)
        self.signal = max(0, -code)
        self.code = 128 - code if code < 0 else code
        self.times["ended"] = time.monotonic_ns()
        self._advance()

    def _advance(self) -> None:
        if self._answer is not None and self._status is None:
            answer, self._answer = self._answer, None
            self.started_at = rfc3339(time.time_ns())
            self.times["executed"] = time.monotonic_ns()
            reply = self.error or {"pid": self.pid, "started_at": self.started_at}
            answer({**reply, "times": self.times, "told": self.told})
            self.told = ""
        if self.begun and self._answer is None and self.code is not None and not self.ended:
            self.ended = True
            os.close(self.pidfd)
            self._on_end(self)

    def _end_lease(self) -> None:
        if self.running:
            self.kill(signal.SIGKILL)

    def kill(self, number: int) -> None:
        """Send it a signal."""
        signal.pidfd_send_signal(self.pidfd, number)


class _Opened:
    """Descriptors that are closed again when not all of them can be had."""

    def __init__(self) -> None:
        self._fds: list[int] = []

    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        self._fds += (reading, writing)
        return reading, writing

    def null(self) -> int:
        fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._fds.append(fd)
        return fd

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            for fd in self._fds:
                os.close(fd)
