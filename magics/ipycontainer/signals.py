"""Signals as something to wait for: noted by their handler, taken by the loop that relays."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

_CHUNK = 4096


class Signals:
    """Catches signals while a block runs; `wake` is readable when there are some to `take`.

    A handler runs between any two bytecodes, also inside docker-py's locks, and an exception from
    one would lose whatever it interrupts. So it only notes the signal, and a pipe wakes the loop.
    """

    def __init__(self) -> None:
        self.wake: int | None = None
        self._caught: list[int] = []

    def note(self, number: int) -> None:
        """Have a signal taken as if it had come."""
        self._caught.append(number)

    def take(self) -> list[int]:
        """Return the signals that came since, in their order."""
        if self.wake is not None:
            with suppress(BlockingIOError):  # a signal noted by hand wakes nobody
                os.read(self.wake, _CHUNK)
        caught, self._caught = self._caught, []
        return caught

    @contextmanager
    def catching(self, numbers: Iterable[int]) -> Iterator[None]:
        """Catch `numbers` until the block ends; outside the main thread Python delivers none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before = {number: signal.signal(number, self._catch) for number in numbers}
        previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.wake = reader
        try:
            yield
        finally:
            self.wake = None
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def _catch(self, number: int, frame: object) -> None:
        if number in self._caught:
            # Nobody took the first one: it is not the loop that runs, but a call that hangs.
            raise KeyboardInterrupt
        self._caught.append(number)
