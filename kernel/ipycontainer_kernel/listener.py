"""What a relay writes to where nobody looks on: for kernels, and for trials of their images."""

from __future__ import annotations

from collections.abc import Callable


class Listener:
    """Hands what a container says, with the number of its stream, to who hears it."""

    wake = None

    def __init__(self, hear: Callable[[int, memoryview], None]) -> None:
        self._hear = hear

    def write(self, stream: int, data: memoryview) -> None:
        """Take some of the output."""
        self._hear(stream, data)

    def tick(self) -> float | None:
        """There is nothing to do meanwhile."""
        return None

    def flush(self) -> None:
        """Nothing is held back."""

    def woken(self) -> None:
        """Nobody wakes it."""
