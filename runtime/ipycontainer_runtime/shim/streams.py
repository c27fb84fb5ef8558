"""The streams of one process: its output to the log and to attached clients, their input to it.

A process has two outputs (pipes) or one (the master of its terminal), and an input where it was
asked for. What is read at once is logged, then sent to each client. When a client does not keep
up, no output is read until it does.
"""

import fcntl
import os
import struct
import termios
import time
from collections import deque

from ..linux.loop import IN, OUT, Loop
from .attachment import Attachment
from .logwriter import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..linux.channel import Message
    from .watching import Watch

STDOUT, STDERR = 1, 2
F_SETPIPE_SZ = 1031
PIPE_SIZE = 1 << 20  # the most that an ordinary user may have
READ_SIZE = 1 << 16
LARGE_READ = 1 << 18


class Streams:
    """What is known of one process's streams.

    Life: clients may `attach` at any time; `begin` or `begin_terminal` when the process is being
    launched; `drain` and `finish` when it has ended.
    """

    def __init__(self, loop: Loop, log: Writer, on_detach: "Callable[[], None]") -> None:
        self.loop = loop
        self.log = log
        self.tty = False
        self.stdin_once = False
        self.input: Input | None = None
        self.detached = on_detach
        self.end_lease: Callable[[], None] | None = None
        """What to do when a client that gave input has gone; None does nothing."""
        self.watch: Watch | None = None
        self.spoke = 0
        """When the first output was read, by the monotonic clock in nanoseconds; 0 before it."""
        self._outputs: list[Output] = []
        self._attachments: list[Attachment] = []
        self._size: tuple[int, int] | None = None
        self._begun = self._paused = self._finished = False

    def begin(self, stdin: int, outputs: "Sequence[int]") -> None:
        """Take over our ends of the pipes; `stdin` is -1 when there is none."""
        if stdin >= 0:
            self.input = Input(self, stdin)
        self._outputs = [Output(self, fd, number) for number, fd in enumerate(outputs, STDOUT)]
        self._start()

    def begin_terminal(self, master: int) -> None:
        """Take over the master of the process's terminal."""
        if self._size:
            set_size(master, *self._size)
        # Watched apart from the output, so by a descriptor of its own.
        self.input = Input(self, fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3))
        self._outputs.append(Output(self, master, STDOUT))
        self._start()

    def _start(self) -> None:
        self._begun = True
        for output in self._outputs:
            output.watch()
        for attachment in self._attachments[:]:
            attachment.begin()
        if self.watch is not None:
            self.watch.begin()

    def begin_watch(self, watch: "Watch") -> None:
        """Have somebody told when the input is waited for, now or once there is one."""
        self.watch = watch
        if self._begun:
            watch.begin()

    def end_watch(self) -> None:
        """Tell nobody any more."""
        if self.watch is not None:
            self.watch.end()
            self.watch = None

    def attach(self, fd: int, options: "Message") -> None:
        """Add a client, whose connection is ours now; it waits until the process is launched."""
        attachment = Attachment(self, fd, options)
        self._attachments.append(attachment)
        if self._finished:
            attachment.finish()
        elif self._begun:
            attachment.begin()

    def left(self, attachment: Attachment) -> None:
        """Forget a client whose connection is closed."""
        self._attachments.remove(attachment)
        self.caught_up()

    def replay(self) -> "Iterator[tuple[int, bytes]]":
        """Yield all that was logged, also what is logged meanwhile; an empty log for an exec."""
        if not self.log.path:
            return
        from pathlib import Path

        from .log import Reader

        for entry in Reader(Path(self.log.path), self.log.driver, lines=False).entries():
            yield entry.stream, entry.data

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return len(self._attachments)

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size in characters, now or when there is one."""
        self._size = (width, height)
        if self.tty and self._outputs:
            set_size(self._outputs[0].fd, width, height)

    @property
    def behind(self) -> bool:
        """Whether no output is read until a client has caught up."""
        return self._paused

    def emit(self, stream: int, data: bytes) -> None:
        """Log output and send it to each client."""
        if not self.spoke:
            self.spoke = time.monotonic_ns()
        self.log.write(stream, data)
        if self.watch is not None:
            self.watch.said(stream, data)
        for attachment in self._attachments[:]:
            attachment.send(stream, data)
            if attachment.behind:
                self._pause()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            for output in self._outputs:
                self.loop.forget(output.fd)

    def caught_up(self) -> None:
        """Read output again if no client is behind."""
        if self._paused and not any(attachment.behind for attachment in self._attachments):
            self._paused = False
            for output in self._outputs:
                output.watch()

    def ended(self, output: "Output") -> None:
        """Forget an output that nobody can write to any more."""
        self._outputs.remove(output)

    def drain(self) -> None:
        """Read what is in the outputs, to their end or until nothing is there; then close them."""
        for output in self._outputs[:]:
            output.drain()
        if self.input is not None:
            self.input.close()
        self.end_watch()

    def finish(self) -> None:
        """Close each client's connection once it has received everything."""
        self._finished = True
        for attachment in self._attachments[:]:
            attachment.finish()


class Output:
    """A descriptor that the process writes to."""

    def __init__(self, streams: Streams, fd: int, number: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._streams = streams
        self._number = number
        self._size = READ_SIZE

    def watch(self) -> None:
        """Wait for output."""
        self._streams.loop.watch(self.fd, IN, self._on_events)

    def _on_events(self, events: int) -> None:
        self._read()

    def _read(self) -> bool:
        """Read once and pass it on; return whether there may be more."""
        try:
            data = os.read(self.fd, self._size)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a terminal whose other end is closed says EIO
        if not data:
            self._close()
            return False
        if len(data) == READ_SIZE == self._size:
            self._widen()
        self._streams.emit(self._number, data)
        return True

    def _widen(self) -> None:
        """A pipe that was found full gets the largest size, so that both sides wait less often."""
        self._size = LARGE_READ
        widen(self.fd)

    def drain(self) -> None:
        """Read all that is there, then close."""
        while self._read():
            pass
        if self.fd >= 0:
            self._close()

    def _close(self) -> None:
        self._streams.loop.forget(self.fd)
        self._streams.ended(self)
        os.close(self.fd)
        self.fd = -1


class Input:
    """The descriptor that the process reads from; several clients may write to it."""

    def __init__(self, streams: Streams, fd: int) -> None:
        os.set_blocking(fd, False)
        self._streams = streams
        self.fd = fd
        self._queue: deque[memoryview] = deque()
        self._waiting: list[Attachment] = []
        self._ending = self._widened = False

    @property
    def pending(self) -> bool:
        """Whether something waits until the process has taken what came before."""
        return bool(self._queue)

    def write(self, data: bytes, source: Attachment) -> bool:
        """Pass data on; false when some had to be queued: `source` then reads when told to."""
        if self.fd < 0:
            source.stop_reading()
            return True
        self._queue.append(memoryview(data))
        self._stir()
        if self._write():
            return True
        self._waiting.append(source)
        return False

    def _write(self) -> bool:
        while self._queue:
            try:
                written = os.write(self.fd, self._queue[0])
            except BlockingIOError:
                self._wait()
                return False
            except OSError:
                self.close()  # the process has closed its input: nobody will read this
                return True
            self._queue[0] = self._queue[0][written:]
            if not self._queue[0]:
                self._queue.popleft()
        self._streams.loop.forget(self.fd)
        return True

    def _stir(self) -> None:
        if self._streams.watch is not None:
            self._streams.watch.typed()

    def _wait(self) -> None:
        if not self._widened:
            self._widened = True
            widen(self.fd)
        self._streams.loop.watch(self.fd, OUT, self._on_events)

    def _on_events(self, events: int) -> None:
        if not self._write():
            return
        if self._ending:
            self.close()
        waiting, self._waiting = self._waiting, []
        for source in waiting:
            source.read_input()

    def end(self) -> None:
        """Close the process's input once everything is written."""
        self._ending = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Close it now; what is queued is lost."""
        if self.fd < 0:
            return
        self._streams.loop.forget(self.fd)
        os.close(self.fd)
        self.fd = -1
        self._queue.clear()
        self._stir()
        for source in self._waiting:
            source.stop_reading()


def widen(pipe: int) -> None:
    """Give a pipe the largest size, so that both of its sides wait less often."""
    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return  # over the user's share of pipe memory, or a terminal: it stays as it was


def set_size(terminal: int, width: int, height: int) -> None:
    """Set a terminal's size in characters."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
