"""The messages of a pull or a push, as Docker's clients read them.

Shape: moby's pkg/jsonmessage; a layer's line is updated by messages with its short id. The bar is
text of the engine's making, because old clients print it as it comes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from ipycontainer_runtime.oci import digest as digests

Progress = dict[str, Any]
Say = Callable[[Progress], None]

INTERVAL = 0.1
"""Seconds between two updates of one layer's bar, as Docker's engine paces them."""
_WIDTH = 50
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def short(digest: str) -> str:
    """Return the 12 digits by which people know a digest."""
    return digests.hex_of(digest)[:12]


def status(text: str, identity: str | None = None) -> Progress:
    """Return a line of its own, or with `identity` a line that belongs to a tag."""
    return {"status": text} if identity is None else {"status": text, "id": identity}


def layer(text: str, identity: str, current: int = 0, total: int = 0) -> Progress:
    """Return one layer's state, with a bar where bytes are counted."""
    if not total:
        return {"status": text, "progressDetail": {}, "id": identity}
    return {
        "status": text,
        "progressDetail": {"current": current, "total": total},
        "progress": bar(current, total),
        "id": identity,
    }


def bar(current: int, total: int) -> str:
    """Return `[====>    ]  1.2MB/3.4MB`, 50 wide."""
    done = min(current * _WIDTH // total, _WIDTH)
    return f"[{'=' * done}>{' ' * (_WIDTH - done)}] {size(current):>8}/{size(total)}"


def size(count: int) -> str:
    """Return bytes in decimal units with four significant digits, as in `1.234MB`."""
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.4g}{unit}"


class Pace:
    """Lets an update through at most every INTERVAL; called on the thread that counts."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Tell whether it is time, and if so start the next interval."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + INTERVAL
        return True


async def told(work: Callable[[Say], Coroutine[Any, Any, None]]) -> AsyncGenerator[Progress, None]:
    """Run `work` and yield what it says; its error is raised once all it said was yielded.

    An iteration that is given up cancels the work, and waits until it has cleaned up.
    """
    queue: asyncio.Queue[Progress | None] = asyncio.Queue()
    task = asyncio.create_task(work(queue.put_nowait))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (message := await queue.get()) is not None:
            yield message
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])
