"""Work on threads: waited for to its end by whoever asked, or such as may never end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
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


async def apart(work: Callable[[], T]) -> T:
    """Run what may never return, as a file system or a plugin that hangs, on a thread of its own.

    The threads of `asyncio.to_thread` are few, and all that the engine does is done on them.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="apart", daemon=True).start()
    return await asyncio.wrap_future(done)
