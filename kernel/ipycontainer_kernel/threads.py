"""Calls that wait for an engine, made from an event loop: by the provisioner and `OwnedKernel`."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(call: Callable[[], Result]) -> Result:
    """Make a call in a thread, or here once Python exits: `jupyter run` ends its kernel then."""
    try:
        made = asyncio.get_running_loop().run_in_executor(None, call)
    except RuntimeError:  # executors take nothing any more
        return call()
    return await made
