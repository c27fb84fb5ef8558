"""Emptying the trash after the reply, however long it takes."""

import asyncio
import logging

from ipycontainer_runtime.errors import shortage
from ipycontainer_runtime.store.trash import Trash

_log = logging.getLogger(__name__)

RETRY_DELAY = 1.0
"""Seconds after which files are deleted that could not be, for want of something."""


async def empty(trash: Trash) -> None:
    """Delete what was removed, on a thread; where something has run out, again until it is gone."""
    while True:
        try:
            return await asyncio.to_thread(trash.empty)
        except OSError as error:
            short = shortage(error, "what was removed is not deleted yet")
            if short is None:
                raise
            _log.warning("%s", short)
        await asyncio.sleep(RETRY_DELAY)
