"""A terminal that lives on when its cell has ended: a thread between a container and its view.

Life of one: a verb attaches, starts, shows it and returns. The thread relays until the container
ends or a person leaves; then the view can have it attach again. What the front end says comes on
other threads, and is either answered at once under the lock or left for the thread to do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from ..failures import Failure
from ..streams import Relay
from ..transcript import Transcript
from .mailbox import Keys, Mailbox
from .ordered import Ordered
from .ring import Ring
from .terminal import TerminalView

if TYPE_CHECKING:
    from ..exits import Exit
    from ..streams import Connection
    from .bundles import Nowhere, Place

WINDOW = 1 << 18
"""How many bytes may be on their way to the page: enough to fill it, too few to freeze it."""
_BETWEEN_SENDS = 0.02
_BETWEEN_SAVES = 10
# A page that draws nothing for so long is closed, or sleeps; what it misses it is shown later.
_PATIENCE = 3
_INTERRUPT = b"\x03"


class Subject(Protocol):
    """What a terminal is of: a container, or a command in one."""

    title: str
    actions: list[str]

    def resize(self, width: int, height: int) -> None:
        """Tell the process's terminal its size."""

    def stop(self) -> None:
        """Have it end; returns when that was asked for."""

    def attach(self, undo: ExitStack) -> tuple[Connection, Exit | None]:
        """Attach again, with what was said already."""
        ...

    def told(self, relay: Relay, exit_: Exit | None) -> str:
        """Wait for the end, and return what to tell of it."""
        ...

    left: str
    """What to tell when the person has left it."""
    farewell: bytes
    """The keys that end what could not be attached to again."""


class _Left(Exception):  # noqa: N818 - not an error: the person has left
    """The person has left; whatever waits is given up."""


class LiveTerminal:
    """A terminal of `subject`; `place` makes what the cell holds of its view."""

    def __init__(self, subject: Subject, place: Callable[[TerminalView], Place | Nowhere]) -> None:
        self._subject = subject
        self.view = TerminalView(subject.title, subject.actions)
        self.view.receive = Ordered(self._receive).take
        self.view.closing = self._is_closed
        self._place = place(self.view)
        self._changed = threading.Condition(threading.RLock())
        self._ring = Ring()
        self._unsent = bytearray()
        self._sent = self._drawn = 0
        self._viewed = self._focused = False
        self._gone = False  # left because nobody sees it any more
        self._flushed = self._saved_at = 0.0
        self._saved = -1
        self._size = (80, 24)
        self._keys = Keys()
        self._asked: Mailbox[Callable[[], None]] = Mailbox()

    def begin(self, undo: ExitStack, connection: Connection, exit_: Exit | None) -> None:
        """Show it and relay from now on; `undo` is let go when it ends."""
        self._tell("running", "running")
        self._place.show(self._text())
        self._start(undo, connection, exit_)

    def _start(self, undo: ExitStack, connection: Connection, exit_: Exit | None) -> None:
        work = (undo.pop_all(), connection, exit_)
        threading.Thread(target=self._run, args=work, daemon=True).start()

    def _run(self, undo: ExitStack, connection: Connection, exit_: Exit | None) -> None:
        with undo:
            relay = Relay(connection, self, self._keys, tty=True, beside=exit_)
            undo.callback(relay.close)
            try:
                relay.run()
                end = self._subject.told(relay, exit_)
            except _Left:
                self._tell("detached", self._subject.left)
            except (Failure, OSError) as error:
                self._tell("ended", str(error))
            else:
                self._tell("ended", end)
        self.flush()
        if self.view.state == "ended":
            self._let_go()
        self._save()

    def _let_go(self) -> None:
        """Close what keys and wishes come by: no thread will relay them."""
        self._keys.close()
        self._asked.close()

    def _tell(self, state: str, status: str) -> None:
        with self.view.hold_sync():
            self.view.state, self.view.status = state, status

    # What the relay calls, in the thread.

    @property
    def wake(self) -> int:
        """Readable when the front end wants something of the thread."""
        return self._asked.descriptor

    def woken(self) -> None:
        """Do what the front end wants."""
        for act in self._asked.take():
            act()

    def write(self, _stream: int, data: memoryview) -> None:
        """Take bytes of the terminal."""
        with self._changed:
            self._ring.append(data)
            if self._viewed:
                self._unsent += data

    def tick(self) -> float | None:
        """Send what is due; return the seconds until more is."""
        now = time.monotonic()
        if self._unsent:
            wait = self._flushed + _BETWEEN_SENDS - now
            if wait > 0:
                return wait
            self.flush()
        if self._focused or len(self._ring) == self._saved:
            return None
        wait = self._saved_at + _BETWEEN_SAVES - now
        if wait > 0:
            return wait
        self._save()
        return None

    def flush(self) -> None:
        """Send what there is, and wait while the page has too much to draw already."""
        with self._changed:
            self._flushed = time.monotonic()
            data, self._unsent = bytes(self._unsent), bytearray()
            if not (data and self._viewed):
                return
            self._sent = len(self._ring)
            self.view.show("output", self._sent, data)
            while self._viewed and self._sent - self._drawn > WINDOW:
                if not self._changed.wait(_PATIENCE):
                    self._viewed = False

    def _save(self) -> None:
        """Have the cell hold what the terminal shows, as it is saved with the notebook."""
        self._saved, self._saved_at = len(self._ring), time.monotonic()
        put = self._place.end if self.view.state == "ended" else self._place.show
        put(self._text())

    def _text(self) -> str:
        transcript = Transcript(*self._size)
        with self._changed:
            dropped, data = self._ring.dropped, self._ring.replay()
        transcript.feed(data)
        parts = [f"[the first {dropped:,} bytes are not kept]"] if dropped else []
        parts += [text] if (text := transcript.text()) else []
        parts.append(f"[{self.view.title}: {self.view.status}]")
        return "\n".join(parts)

    # What the front end says, on the kernel's threads.

    def _receive(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "keys":
            self._keys.press(str(message["data"]).encode("utf-8", "replace"))
        elif kind == "drawn":
            self._was_drawn(int(message["end"]))
        elif kind == "ready":
            self._is_seen(int(message["cols"]), int(message["rows"]))
        elif kind == "resize":
            self._resized(int(message["cols"]), int(message["rows"]))
        elif kind == "focus":
            self._focus(bool(message["on"]))
        elif kind == "gone":
            self._is_gone()
        elif kind == "press":
            self._pressed(str(message["action"]))

    def _was_drawn(self, end: int) -> None:
        with self._changed:
            self._drawn = max(self._drawn, end)
            if not self._viewed and not self._gone:
                self._replay()  # it had slept, and has missed something
            self._changed.notify_all()

    def _is_seen(self, columns: int, rows: int) -> None:
        with self._changed:
            gone, self._gone = self._gone, False
            again = len(self._ring) > 0
            self._replay()
        if gone and self.view.state == "detached":
            self._attach()
        elif again:
            # A full-screen program draws its screen anew when that has another size.
            self._resized(columns, rows - 1)
        self._resized(columns, rows)

    def _replay(self) -> None:
        self._viewed = True
        self._unsent.clear()
        self._sent = self._drawn = len(self._ring)
        self.view.show("replay", self._sent, self._ring.replay())

    def _is_gone(self) -> None:
        with self._changed:
            self._viewed, self._gone = False, True
            self._changed.notify_all()
        self._asked.put(self._leave_unseen)

    def _is_closed(self) -> None:
        with self._changed:
            self._viewed = False
            self._changed.notify_all()
        if self.view.state == "detached":
            self._let_go()
        elif self._subject.farewell:
            self._keys.press(self._subject.farewell)
        else:
            self._asked.put(self._leave)

    def _resized(self, columns: int, rows: int) -> None:
        self._size = (max(columns, 1), max(rows, 1))
        width, height = self._size
        self._asked.put(lambda: self._subject.resize(width, height))

    def _focus(self, on: bool) -> None:
        self._focused = on
        if not on and len(self._ring) != self._saved:
            self._asked.put(self._save)

    def _pressed(self, action: str) -> None:
        if action == "interrupt":
            self._keys.press(_INTERRUPT)
        elif action == "detach":
            self._asked.put(self._leave)
        elif action == "stop":
            # Not by the thread: what the container says while it ends is still shown.
            threading.Thread(target=self._stop, daemon=True).start()
        elif action == "attach":
            self._attach()

    def _stop(self) -> None:
        self._subject.stop()
        if self.view.state == "detached":
            self._ended("was stopped while nobody was attached")

    def _ended(self, status: str) -> None:
        """Tell of an end that no thread sees."""
        self._tell("ended", status)
        self._let_go()
        self._save()

    def _leave(self) -> None:
        raise _Left

    def _leave_unseen(self) -> None:
        if self._gone:  # and not back already: a tab that is moved goes and comes at once
            raise _Left

    def _attach(self) -> None:
        """Attach again; everything that was said comes once more, so the screen is cleared."""
        if self.view.state != "detached":
            return
        with ExitStack() as undo:
            try:
                connection, exit_ = self._subject.attach(undo)
            except Failure as error:
                self._ended(str(error))
                return
            with self._changed:
                self._ring.clear()
                self._replay()
            self._asked.take()
            self._tell("running", "running")
            self._resized(*self._size)
            self._start(undo, connection, exit_)
