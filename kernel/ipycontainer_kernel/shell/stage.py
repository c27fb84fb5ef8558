"""The streams of cells: an exec that only exists, whose descriptors the shell opens."""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Final

from ipycontainer.attached import start_exec
from ipycontainer.listening import Listening
from ipycontainer.streams import Demux
from ipycontainer.surface import STDERR, STDOUT
from ipycontainer_kernel.shell import script
from ipycontainer_kernel.shell.control import Broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipycontainer.session import Session

    Show = Callable[[int, memoryview], None]

_MOST_HELD: Final = 1 << 20
_TELLS_WITHIN: Final = 60.0
_LONGEST: Final = 4096


class Lent(Listening):
    """What the engine tells of a stage's input, lent to one cell after the other.

    A cell that listened anew might be taken for the one before, which is just about to leave.
    """

    def close(self) -> None:
        """Go on: the next cell listens too."""

    def end(self) -> None:
        """Listen no more."""
        super().close()

    def _lost(self) -> None:
        self.end()
        super()._lost()


class Stage:
    """Streams that cells share, until the input of one has ended."""

    def __init__(self, session: Session, container: str) -> None:
        made = session.api.exec_create(container, list(script.STAGE), stdin=True)
        self.id = str(made["Id"])
        self._session = session
        self._listening: Lent | None = None
        self._connection = start_exec(session, self.id, tty=False)
        self._demux = Demux()
        self._outbox = memoryview(b"")
        self._marked = {STDOUT: _Marked(), STDERR: _Marked()}
        self.ended = False
        """Whether its input has ended: the next cell needs another stage."""
        self.pid = self._number()

    def _number(self) -> int:
        line = bytearray()
        said = bytearray()
        deadline = time.monotonic() + _TELLS_WITHIN
        with selectors.PollSelector() as selector:
            selector.register(self._connection.socket, selectors.EVENT_READ)
            while b"\n" not in line:
                left = deadline - time.monotonic()
                if left <= 0 or not (self.pending or selector.select(left)):
                    raise Broken(f"the container did not answer within {_TELLS_WITHIN:g} s")
                data = self._connection.receive()
                if data is not None and not data:
                    raise Broken(f"the container took no command: {said.decode(errors='replace')}")
                for stream, part in self._demux.feed(data or memoryview(b"")):
                    (line if stream == STDOUT else said).extend(part)
                if len(line) + len(said) > _LONGEST or (line and not line.strip().isdigit()):
                    raise Broken("the container's /bin/sh does not answer as a shell")
        return int(line)

    @property
    def descriptor(self) -> int:
        """Readable when something was written."""
        return self._connection.socket.fileno()

    @property
    def pending(self) -> bool:
        """Whether something came that no selector sees."""
        return self._connection.pending

    @property
    def events(self) -> int:
        """What to wait for: to read, and to write while there is something to send."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)

    @property
    def sending(self) -> bool:
        """Whether input is still to be sent."""
        return bool(self._outbox)

    def listening(self) -> Lent:
        """Return what tells of questions."""
        if self._listening is None or self._listening.descriptor is None:
            self._listening = Lent(self._session, f"exec/{self.id}")
        return self._listening

    def type(self, data: bytes) -> None:
        """Send input, or its end where that is empty."""
        if not data:
            self._connection.half_close()
            self.ended = True
            return
        self._outbox = memoryview(data)
        self.flush()

    def flush(self) -> None:
        """Send what fits of the input that is left."""
        try:
            self._outbox = self._outbox[self._connection.send(self._outbox) :]
        except (BrokenPipeError, ConnectionResetError):
            self._outbox, self.ended = memoryview(b""), True

    def read(self, show: Show) -> None:
        """Show what was written, up to the next mark; raises Broken at the end."""
        data = self._connection.receive()
        if data is None:
            return
        if not data:
            raise Broken("the streams of the container have ended")
        for stream, part in self._demux.feed(data):
            show(stream, memoryview(self._marked[stream].feed(bytes(part))))

    def expect(self, mark: str, show: Show) -> None:
        """Stop at this word from now on, and show what another has stopped."""
        for marked in self._marked.values():
            # A line of its own: the engine takes what is unfinished for the words of a question.
            marked.mark = f"{mark}\n".encode()
        self.go_on(show)

    @property
    def reached(self) -> bool:
        """Whether the mark came in both streams."""
        return all(marked.reached for marked in self._marked.values())

    def go_on(self, show: Show) -> None:
        """Show what stands behind the mark, up to the next one."""
        for stream, marked in self._marked.items():
            show(stream, memoryview(marked.go_on()))

    def read_to_mark(self, show: Show, seconds: float) -> None:
        """Show all that was written before the mark, if that comes in time."""
        deadline = time.monotonic() + seconds
        with selectors.PollSelector() as selector:
            selector.register(self._connection.socket, selectors.EVENT_READ)
            while not self.reached and (left := deadline - time.monotonic()) > 0:
                if self.pending or selector.select(left):
                    self.read(show)

    def close(self) -> None:
        """End the streams."""
        if self._listening is not None:
            self._listening.end()
        self._connection.close()


class _Marked:
    """One stream up to a word, which is taken out wherever reads happened to cut it."""

    def __init__(self) -> None:
        self.mark = b""
        self._held = b""
        self.reached = False
        """Whether what is held stands behind the mark."""

    def feed(self, data: bytes) -> bytes:
        """Return what may be shown."""
        self._held += data
        if self.reached:
            # More than that is of something that writes on and on, and is shown too early.
            early, self._held = (
                (b"", self._held) if len(self._held) < _MOST_HELD else (self._held, b"")
            )
            return early
        before, found, after = self._held.partition(self.mark) if self.mark else (data, b"", b"")
        self.reached = bool(found)
        if found:
            self._held = after
            return before
        kept = max(n for n in range(len(self.mark) or 1) if before.endswith(self.mark[:n]))
        self._held = before[len(before) - kept :]
        return before[: len(before) - kept]

    def go_on(self) -> bytes:
        """Return what stood behind the mark, up to the next one."""
        self.reached = False
        return self.feed(b"")
