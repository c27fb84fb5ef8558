"""One process of a container, the first or an exec'd one, from its launch to its end."""

import os
import signal
import socket
import time

from .clock import rfc3339
from .loop import IN
from .protocol import receive_packet
from .streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocol import Message

    Answer = Callable[[Message], None]


class Process:
    """Follows a launch and an exit, which the kernel may announce in any order.

    A launch has succeeded when the nursery has named the pid and the status socket has ended
    without an error. `answer` is called once with the outcome; `on_end` once, when there is nothing
    left of the process or there will never be one.
    """

    def __init__(
        self, streams: Streams, answer: "Answer", on_end: "Callable[[Process], None]"
    ) -> None:
        self.streams = streams
        self.pid = 0
        self.pidfd = -1
        self.started_at = ""
        self.code: int | None = None
        self.signal = 0
        self.error: Message | None = None
        self.ended = False
        self._answer: Answer | None = answer
        self._on_end = on_end
        self._status: socket.socket | None = None

    @property
    def launching(self) -> bool:
        """Whether it may still turn out to have another pid than is known."""
        return self._answer is not None

    @property
    def running(self) -> bool:
        """Whether its command was executed and has not ended."""
        return not (self.launching or self.error or self.ended)

    def prepare(self, stdio: "Message", silent: bool) -> list[int]:
        """Make its streams and return the nursery's ends: status, then 0, 1 and 2 unless a tty.

        `silent` gives a process that nobody listens to /dev/null.
        """
        self.streams.tty = stdio["tty"]
        self.streams.stdin_once = stdio["stdin_once"]
        self._status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.setblocking(False)
        theirs = [status.detach()]
        if stdio["tty"]:
            return theirs
        stdin, ours_in = os.pipe() if stdio["stdin"] else (_null(), -1)
        if silent:
            self.streams.begin(ours_in, [])
            return [*theirs, stdin, _null(), _null()]
        out, stdout = os.pipe()
        err, stderr = os.pipe()
        self.streams.begin(ours_in, [out, err])
        return [*theirs, stdin, stdout, stderr]

    def watch(self) -> None:
        """Wait for what the launcher says."""
        if self._status is not None:
            self.streams.loop.watch(self._status.fileno(), IN, self._read_status)

    def named(self, reply: "Message") -> None:
        """Take the nursery's answer: a pid, or an error."""
        if "pid" in reply:
            self.pid = reply["pid"]
            # Not reaped before it is known, so the number is still its own.
            self.pidfd = os.pidfd_open(self.pid)
        else:
            self.failed(reply)
        self._advance()

    def failed(self, error: "Message") -> None:
        """The launch has come to nothing."""
        self.error = self.error or error
        self._end_status()
        self._advance()

    def _read_status(self, events: int) -> None:
        try:
            packet = receive_packet(self._status) if self._status else None
        except OSError:
            packet = None
        if packet is None:
            self._end_status()
            self._advance()
            return
        message, fds = packet
        if "console" in message:
            self.streams.begin_terminal(fds.pop())
        else:
            self.error = message

    def _end_status(self) -> None:
        if self._status is not None:
            self.streams.loop.forget(self._status.fileno())
            self._status.close()
            self._status = None

    def reap(self) -> None:
        """Look whether it has ended."""
        if not self.pid or self.code is not None:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            self.signal = max(0, -code)
            self.code = 128 - code if code < 0 else code
            self._advance()

    def _advance(self) -> None:
        if self._answer is not None and self._status is None and (self.pid or self.error):
            answer, self._answer = self._answer, None
            self.started_at = rfc3339(time.time_ns())
            answer(self.error or {"pid": self.pid, "started_at": self.started_at})
        if not (self.launching or self.ended) and (self.code is not None or not self.pid):
            self.ended = True
            if self.pidfd >= 0:
                os.close(self.pidfd)
            self._on_end(self)

    def kill(self, number: int) -> None:
        """Send it a signal."""
        signal.pidfd_send_signal(self.pidfd, number)


def _null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
