"""A step that is given up while its root is being mounted keeps neither the root nor a thread."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ipycontainer_runtime.engine.building import placing


class Slow:
    """A view whose mount takes until the test says so."""

    mounting, mounted = threading.Event(), threading.Event()

    def __init__(self, *_: object) -> None:
        self.fd = os.open("/", os.O_PATH)

    def __enter__(self) -> "Slow":
        self.mounting.set()
        self.mounted.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class Delta:
    """As much of a delta as a view asks for."""

    at = "/"

    @property
    def layering(self) -> "Delta":
        return self

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        yield

    def mounts(self, *, points: bool) -> list[object]:
        return []


def test_a_root_that_nobody_waits_for_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "View", Slow)
    delta: Any = Delta()

    async def give_up() -> None:
        opening = asyncio.create_task(placing.open_root(delta))
        await asyncio.to_thread(Slow.mounting.wait, 5)
        before = os.listdir("/proc/self/fd")
        opening.cancel()
        asyncio.get_running_loop().call_later(0.1, Slow.mounted.set)
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert "copy" not in [thread.name for thread in threading.enumerate()]
        assert len(os.listdir("/proc/self/fd")) == len(before) - 1  # the view's own

    asyncio.run(give_up())
