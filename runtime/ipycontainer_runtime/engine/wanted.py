"""Whether a container, or an exec in it, waits for its input: from the shim to those who listen.

A shim looks only while somebody listens, since looking costs time. Who asks before the start, as
`run` does, hears everything from the first word on; the stream ends with the process.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import InputWanted

MOST_UNREAD = 16
"""Changes kept for a client that does not read; the older ones are history."""

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.container import Container


class Inputs:
    """Those who listen to the inputs of one container; None is the container's own."""

    def __init__(self) -> None:
        self._listening: dict[str | None, set[asyncio.Queue[InputWanted | None]]] = {}
        self._told: dict[str | None, InputWanted] = {}

    def heard(self, name: str | None) -> bool:
        """Tell whether anybody listens."""
        return name in self._listening

    def add(self, name: str | None) -> "asyncio.Queue[InputWanted | None]":
        """Return what gets everything that is told from now on, and None at the end."""
        queue: asyncio.Queue[InputWanted | None] = asyncio.Queue()
        if told := self._told.get(name):
            queue.put_nowait(told)
        self._listening.setdefault(name, set()).add(queue)
        return queue

    def remove(self, name: str | None, queue: "asyncio.Queue[InputWanted | None]") -> None:
        """Forget one who listened."""
        listening = self._listening.get(name, set())
        listening.discard(queue)
        if not listening:
            self._listening.pop(name, None)
            self._told.pop(name, None)

    def connected(self, shim: ShimConnection) -> None:
        """Have a shim look that is to start the container, or was found again."""
        for name in self._listening:
            _watch(shim, name, on=True)

    def tell(self, event: InputWanted) -> None:
        """Pass on what the shim says."""
        if self.heard(event.exec):
            self._told[event.exec] = event
        for queue in self._listening.get(event.exec, ()):
            if queue.qsize() >= MOST_UNREAD:
                queue.get_nowait()
            queue.put_nowait(event)

    def end(self, name: str | None) -> None:
        """Tell all who listen that the process is over."""
        for queue in self._listening.get(name, ()):
            queue.put_nowait(None)


async def wanted(container: "Container", name: str | None) -> AsyncGenerator[dict[str, Any], None]:
    """Yield at once, and at each change, whether an input is waited for; until the process ends.

    `name` is an exec's id, or None for the container's own process, which may not be started yet.
    """
    inputs = container.inputs
    begins = not inputs.heard(name)
    queue = inputs.add(name)
    removed = container.removals.add()
    removed.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        if begins:
            _watch(container.shim, name, on=True)
        if queue.empty():
            yield {"wanted": False}
        while (event := await queue.get()) is not None:
            yield _body(event)
    finally:
        removed.cancel()
        inputs.remove(name, queue)
        if not inputs.heard(name):
            _watch(container.shim, name, on=False)


def _watch(shim: ShimConnection | None, name: str | None, *, on: bool) -> None:
    """Tell the shim, if there is one; one that is to come is told when it has come."""
    if shim is not None:
        with contextlib.suppress(Unavailable):  # it has just ended, as all will be told
            shim.watch_input(name, on=on)


def _body(event: InputWanted) -> dict[str, Any]:
    if not event.wanted:
        return {"wanted": False}
    return {
        "wanted": True,
        "echo": event.echo,
        "line": event.line,
        "process": event.process,
    }
