"""`AsyncSandbox`: the same sandbox for code that awaits, each call in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .box import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from docker.models.images import Image

    from .commands import Completed

T = TypeVar("T")
_AGAIN, _AWAKE = 1.0, 0.2


class AsyncSandbox:
    """A `Sandbox` whose calls are awaited; it is made and configured as that is.

    `async with AsyncSandbox("python:3.12") as s: await s.python("1 + 1")`. A `python` that is
    cancelled stops its code, and keeps the interpreter; other calls end by themselves.
    """

    def __init__(self, image: str, **options: Any) -> None:
        self._sandbox = Sandbox(image, **options)

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox itself, whose calls wait."""
        return self._sandbox

    async def start(self) -> AsyncSandbox:
        """Make and start the container; return the sandbox."""
        await _in_thread(self._sandbox.start)
        return self

    async def close(self) -> None:
        """End what runs in it, and remove the container."""
        await _in_thread(self._sandbox.close)

    async def run(self, args: Any, **options: Any) -> Completed:
        """Run a command, see `Sandbox.run`."""
        return await _in_thread(partial(self._sandbox.run, args, **options))

    async def python(self, code: str, /, **options: Any) -> Any:
        """Run code in the interpreter, see `Sandbox.python`."""
        call = partial(self._sandbox.python, code, **options)
        return await _in_thread(call, self._sandbox.interrupt)

    async def put(self, source: Any, path: Any) -> None:
        """Copy into the sandbox, see `Sandbox.put`."""
        await _in_thread(partial(self._sandbox.put, source, path))

    async def get(self, path: Any, local: Any = None) -> bytes | Path:
        """Copy out of the sandbox, see `Sandbox.get`."""
        return await _in_thread(partial(self._sandbox.get, path, local))

    async def commit(self, name: str, message: str | None = None) -> Image:
        """Make an image of the sandbox's files, see `Sandbox.commit`."""
        return await _in_thread(partial(self._sandbox.commit, name, message))

    async def __aenter__(self) -> AsyncSandbox:
        return await self.start()

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


async def _in_thread(call: Callable[[], T], interrupt: Callable[[], None] | None = None) -> T:
    """Wait for a call; one that is cancelled is interrupted, and waited for all the same."""
    going = asyncio.ensure_future(asyncio.to_thread(_contained, call))
    try:
        while not going.done():
            # ipykernel's handler of an interrupt adds a callback without waking the loop.
            await asyncio.wait([going], timeout=_AWAKE)
    except asyncio.CancelledError:
        while interrupt is not None and not going.done():
            interrupt()  # again and again: code may only just begin
            await asyncio.wait([going], timeout=_AGAIN)
        raise
    value, error = going.result()
    if error is not None:
        raise error
    return value  # type: ignore[return-value] # there is a value where there is no error


def _contained(call: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Return what a call returns or raises: a KeyboardInterrupt in a thread would end the loop."""
    try:
        return call(), None
    except BaseException as error:
        return None, error
