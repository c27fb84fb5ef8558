"""One attached client: a connection that the engine handed over, carrying a process's streams."""

import socket
import struct
from collections import deque

from ..linux.loop import GONE, IN, OUT
from .detach import DetachKeys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..linux.channel import Message
    from .streams import Streams

READ_SIZE = 1 << 17
_FRAME = struct.Struct(">B3xI")


class Attachment:
    """Sends a process's output to a client, and passes the client's input on to `Streams.input`.

    Made for each `attach`; the streams call `begin`, `send` and `finish`. What the socket does not
    take at once is queued, and the streams read no more output until `idle` is true again: a client
    that stops reading stalls the container, as under Docker. One that has vanished is dropped.
    """

    def __init__(self, streams: "Streams", fd: int, options: "Message") -> None:
        self._streams = streams
        self._sock = socket.socket(fileno=fd)
        self._sock.setblocking(False)
        self._framed = options["framed"]
        self._wanted = (False, options["stdout"], options["stderr"])
        self._logs = options["logs"]
        self._live = options["stream"]
        self._reading = options["stdin"]
        self._typed = options["buffered"].encode("latin-1")
        self._keys = DetachKeys(options["detach_keys"].encode("latin-1"))
        self._queue: deque[memoryview] = deque()
        self._replay: Iterator[tuple[int, bytes]] | None = None
        self._events = -1
        self._leases = False
        self._paused = self._finishing = self._gone = self._closed = False

    @property
    def behind(self) -> bool:
        """Whether it must catch up before more output is read; a replay holds up nobody."""
        return bool(self._queue) and self._replay is None

    def begin(self) -> None:
        """Take up work, now that the process has its streams."""
        if self._logs:
            self._replay = self._streams.replay()
        self._reading = self._leases = self._reading and self._streams.input is not None
        if self._reading and self._typed:
            self._pass_on(self._typed)
        self._flush()

    def send(self, stream: int, data: bytes) -> None:
        """Send what the process wrote; during a replay it will come out of the log."""
        if self._replay is None and self._live and not self._gone:
            self._put(stream, data)
            if self._queue:
                self._watch()

    def finish(self) -> None:
        """Close the connection once everything is sent."""
        self._finishing = True
        self._flush()

    def stop_reading(self) -> None:
        """The process has closed its input: leave what the client sends where it is."""
        self._reading = False
        self._watch()

    def read_input(self) -> None:
        """Pass on what the client has sent, until the process must take it first."""
        self._paused = False
        while self._reading and not self._paused:
            try:
                data = self._sock.recv(READ_SIZE)
            except BlockingIOError:
                if not self._gone:
                    break
                data = b""
            except OSError:
                data = b""
            if data:
                self._pass_on(data)
            else:
                self._end_input()
            if not self._gone:
                break
        self._watch()

    def _put(self, stream: int, data: bytes) -> None:
        if not self._wanted[stream]:
            return
        parts = [_FRAME.pack(stream, len(data)), data] if self._framed else [data]
        sent = 0 if self._queue else self._try(parts)
        for part in parts:
            if sent < len(part) and not self._gone:
                self._queue.append(memoryview(part)[sent:])
            sent = max(0, sent - len(part))

    def _try(self, parts: "list[bytes] | list[memoryview]") -> int:
        try:
            return self._sock.sendmsg(parts, [], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError:
            self._lose()
            return 0

    def _flush(self) -> None:
        """Send the queue, then go on with the replay; close when that is all there will be."""
        while self._queue and (sent := self._try([self._queue[0]])):
            self._queue[0] = self._queue[0][sent:]
            if not self._queue[0]:
                self._queue.popleft()
        while self._replay is not None and not self._queue:
            if entry := next(self._replay, None):
                self._put(*entry)
            else:
                self._end_replay()
        if self._finishing and not self._queue:
            self._close()
            return
        self._watch()
        if not self._queue:
            self._streams.caught_up()

    def _end_replay(self) -> None:
        self._replay = None
        # What the log holds back belongs before what comes.
        for stream in (1, 2):
            if held := self._streams.log.held(stream):
                self._put(stream, held)
        self._finishing = self._finishing or not self._live

    def _watch(self) -> None:
        if self._closed or self._gone:
            return
        reading = self._reading and not self._paused and not self._finishing
        events = (IN if reading else 0) | (OUT if self._queue else 0)
        if events != self._events:
            self._events = events
            self._streams.loop.watch(self._sock.fileno(), events, self._on_events)

    def _on_events(self, events: int) -> None:
        if events & GONE:
            self._lose()
            return
        if events & OUT:
            self._flush()
        if events & IN and not self._closed:
            self.read_input()

    def _lose(self) -> None:
        """The client reads no more; what it sent before it vanished is still passed on."""
        self._gone = True
        self._end_lease()
        self._replay = None
        self._queue.clear()
        # A hang-up is reported for as long as it is watched.
        self._streams.loop.forget(self._sock.fileno())
        if self._finishing or not self._reading:
            self._close()
        elif not self._paused:
            self.read_input()
        self._streams.caught_up()

    def _pass_on(self, data: bytes) -> None:
        target = self._streams.input
        if target is None:
            return
        detached = False
        if self._streams.tty:
            data, detached = self._keys.feed(data)
        if data and not target.write(data, self):
            self._paused = True
        if detached:
            self._reading = False
            self._streams.detached()
            self.finish()

    def _end_input(self) -> None:
        """Close the process's input where that is its end; elsewhere Docker ends the attachment."""
        self._reading = False
        self._end_lease()
        if self._streams.tty or not self._streams.stdin_once:
            self.finish()
        elif self._streams.input is not None:
            self._streams.input.end()
        if self._gone:
            self._close()

    def _end_lease(self) -> None:
        """Who gives input holds up a process that was asked for on lease."""
        if self._leases and self._streams.end_lease is not None:
            self._streams.end_lease()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._streams.loop.forget(self._sock.fileno())
        self._streams.left(self)
        try:
            # What is unread must be read first, or the client gets ECONNRESET and not an end.
            self._sock.shutdown(socket.SHUT_RDWR)
            while self._sock.recv(READ_SIZE):
                pass
        except OSError:
            pass  # the client was quicker
        self._sock.close()
