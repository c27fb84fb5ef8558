"""Whether anybody still needs this engine: requests in progress, work in hand, a wish to stay."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

Background = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
"""Does work after the reply; `Activity.background`."""


class Activity:
    """Counts what holds the engine up; `quiet` returns when nothing has for a while."""

    def __init__(self) -> None:
        self._holds = 0
        self._keep = False
        self._needs: set[str] = set()
        self._touched = 0.0
        self._changed = asyncio.Event()
        """Set when there may be no reason to stay any more."""
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def keep(self) -> bool:
        """True when the engine was asked to stay for clients that cannot start it."""
        return self._keep

    @keep.setter
    def keep(self, value: bool) -> None:
        self._keep = value
        self.touch()

    @property
    def busy(self) -> bool:
        """True while something is in hand, or the engine is to stay."""
        return self._keep or self._holds > 0 or bool(self._needs)

    def need(self, reason: str) -> None:
        """Keep the engine from leaving by itself, until this reason is released."""
        self._needs.add(reason)

    def release(self, reason: str) -> None:
        """Undo `need`; a reason that was never given is none, and wakes nobody."""
        if reason in self._needs:
            self._needs.remove(reason)
            self.touch()

    def touch(self) -> None:
        """Begin the quiet time anew."""
        self._touched = time.monotonic()
        self._changed.set()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the engine up for the length of the block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Hold the engine up until `end`."""
        self._holds += 1

    def end(self) -> None:
        """Undo one `begin`."""
        self._holds -= 1
        self.touch()

    def background(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do `work` after the reply, holding the engine up; its failure goes to the log."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.begin()
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self.end()
        if not task.cancelled() and (error := task.exception()):
            task.get_loop().call_exception_handler(
                {"message": f"{task.get_name()} failed: {error}", "exception": error, "task": task}
            )

    async def settle(self, seconds: float) -> None:
        """Return when nothing is in hand, or after `seconds`."""
        self._keep = False
        self._needs.clear()
        try:
            await asyncio.wait_for(self.quiet(0), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            return

    async def quiet(self, seconds: float | None) -> None:
        """Return once nothing has held or touched the engine for `seconds`; None: never.

        It sleeps through what comes and goes meanwhile: to be woken by each request would be a
        tenth of what the request costs.
        """
        self._touched = time.monotonic()
        while True:
            if self.busy or seconds is None:
                self._changed.clear()
                await self._changed.wait()
            elif (left := self._touched + seconds - time.monotonic()) > 0:
                await asyncio.sleep(left)
            else:
                return
