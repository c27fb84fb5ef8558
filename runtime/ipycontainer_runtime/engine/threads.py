"""Work on threads that is waited for to its end, also by who no longer wants its result."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Callable[[], T], give_up: Callable[[], None]) -> T:
    """Run `work` on a thread; cancelled, have `give_up` stop it and wait until it has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        give_up()
        await asyncio.gather(task, return_exceptions=True)
        raise
