"""Watches one process's standard input while an engine listens: does anything wait for it?

Loaded only then. After any output or input it looks soon, then ever more seldom. It says yes when
the same process was found waiting twice in a row with nothing read or written in between, and no
longer once something was typed, or after a few looks in vain: who polls is not always in its poll.
"""

import os
import time

from . import wanting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..linux.channel import Message
    from .streams import Streams

SOON = 0.002  # seconds after output
TYPED = 0.01  # after input: a terminal passes it on by a thread of the kernel
AGAIN = 0.003  # between the two looks that must agree
SELDOM = 0.1
SHARE = 50  # looking takes at most one part in so many of a processor
LONGEST = 2.0  # seconds between two looks, whatever they cost
PATIENCE = 0.05  # seconds for which output puts a look off: others may write while one waits
IN_VAIN = 10  # looks in a row that must find nobody before a question is withdrawn
DOUBT = 0.05  # between them: who polls between other things must not lose what is being typed
SLICE = 0.002  # of looking, while output waits; then it gives way
REST = 0.04
MOST_OF_LINE = 1024  # bytes of an unfinished line that are kept


class Watch:
    """Tells of `streams` whether their input is waited for.

    `members` gives the container's processes; `tell` gets a message at each change. The streams
    call `begin`, `said` and `typed`.
    """

    def __init__(
        self,
        streams: "Streams",
        members: "Callable[[], list[int]]",
        tell: "Callable[[Message], None]",
    ) -> None:
        self._streams = streams
        self._members = members
        self._tell = tell
        self._sought: wanting.Sought | None = None
        self._line = b""
        self._speaker = 0
        self._delay = SOON
        self._waiter = 0  # who was found waiting by the last whole look
        self._misses = 0
        self._looking: Iterator[int | None] | None = None
        self._spent = 0.0  # seconds of the look that goes on
        self._put_off = 0.0  # when output began to put it off
        self.told: Message = {"wanted": False}

    def begin(self) -> None:
        """Begin to look, now that there are streams."""
        fd = self._streams.input.fd if self._streams.input is not None else -1
        if fd < 0:
            return
        try:
            self._sought = wanting.terminal(fd) if self._streams.tty else wanting.pipe(fd)
        except OSError:
            return  # before Linux 4.13 nobody can tell who reads a terminal
        self._stir(SOON)

    def end(self) -> None:
        """Look no more."""
        self._sought = None
        self._streams.loop.call_off(self._look)

    def said(self, stream: int, data: bytes) -> None:
        """Take output: what has just spoken may ask, and its last line may be the question."""
        _, newline, rest = data.rpartition(b"\n")
        if newline or stream != self._speaker:
            self._line = b""
        self._speaker = stream
        self._line = (self._line + rest)[-MOST_OF_LINE:]
        now = time.monotonic()
        self._put_off = self._put_off or now
        if now - self._put_off < PATIENCE:
            self._stir(SOON)

    def typed(self) -> None:
        """Take note that there was input, or its end: whoever waited for it has it."""
        self._line = b""
        if self.told["wanted"]:
            self._say({"wanted": False})
        self._stir(TYPED)

    def _stir(self, seconds: float) -> None:
        self._waiter, self._delay, self._looking = 0, SOON, None
        if self._sought is not None:
            self._streams.loop.call_after(seconds, self._look)

    def _look(self) -> None:
        """Look for up to a slice of time; a container with many threads takes several."""
        sought, source = self._sought, self._streams.input
        if sought is None or source is None or source.fd < 0:
            return
        if self._streams.behind or source.pending or self._unread(source.fd):
            self._later(0)
            return
        began = time.monotonic()
        if self._looking is None:
            self._spent = 0.0
            self._looking = wanting.waiting(self._candidates(), sought)
        for pid in self._looking:
            spent = time.monotonic() - began
            if pid is not None or spent > SLICE:
                break
        else:
            pid, spent = 0, time.monotonic() - began
        self._spent += spent
        if pid is None:
            self._streams.loop.call_after(REST, self._look)
        elif pid:
            self._found(pid)
        else:
            self._later(0)

    def _unread(self, fd: int) -> bool:
        return not self._streams.tty and wanting.unread(fd) > 0

    def _candidates(self) -> list[int]:
        """Return the container's processes: first who waited last, then the youngest."""
        own = os.getpid()
        found = [pid for pid in self._members() if pid != own] or wanting.descendants(own)
        return sorted(found, key=lambda pid: (pid == self._waiter, pid), reverse=True)

    def _found(self, pid: int) -> None:
        self._misses = 0
        if pid != self._waiter:
            self._waiter, self._looking = pid, None
            self._streams.loop.call_after(AGAIN, self._look)
            return
        if not self.told["wanted"]:
            master = self._streams.input.fd if self._streams.input is not None else -1
            self._say(
                {
                    "wanted": True,
                    "echo": not self._streams.tty or wanting.shows(master),
                    "line": self._line.decode(errors="replace"),
                    "process": wanting.name_of(pid),
                }
            )
        self._later(pid)

    def _later(self, waiter: int) -> None:
        """Look again, less soon than the last time, or often while it may be over."""
        self._waiter, self._looking, self._put_off = waiter, None, 0.0
        self._delay = min(2 * self._delay, SELDOM)
        if not waiter and self.told["wanted"]:
            self._misses += 1
            if self._misses >= IN_VAIN:
                self._say({"wanted": False})
            self._delay = DOUBT
        self._streams.loop.call_after(
            max(self._delay, min(SHARE * self._spent, LONGEST)), self._look
        )

    def _say(self, message: "Message") -> None:
        self._misses = 0
        self.told = message
        self._tell(message)
