"""RUN --mount=type=cache: folders that outlive their step, by id, and who may use one when."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from ipycontainer_runtime.store.trash import Trash


class Persistent:
    """The cache mounts of one engine, below `folder`; used on the event loop."""

    def __init__(self, folder: Path, trash: Trash) -> None:
        self.folder = folder
        self._trash = trash
        self._locks: dict[str, asyncio.Lock] = {}
        self._begun: dict[Path, asyncio.Lock] = {}
        self._used: dict[Path, int] = {}

    @contextlib.asynccontextmanager
    async def claim(self, identity: str, sharing: str) -> AsyncIterator[Path]:
        """Give the folder of a cache, which may not be there yet, for the length of a step.

        `locked` waits for whoever has it; `private` gives another one meanwhile; `shared` does not
        mind.
        """
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        async with contextlib.AsyncExitStack() as held:
            if sharing == "locked":
                await held.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            folder = self.folder / name
            number = 0
            while sharing == "private" and self._used.get(folder):
                number += 1
                folder = self.folder / f"{name}-{number}"
            self._used[folder] = self._used.get(folder, 0) + 1
            try:
                yield folder
            finally:
                self._used[folder] -= 1

    @contextlib.asynccontextmanager
    async def beginning(self, folder: Path) -> AsyncIterator[None]:
        """Let one step at a time look whether a folder is there, and make it."""
        async with self._begun.setdefault(folder, asyncio.Lock()):
            yield

    def prune(self) -> None:
        """Discard the folders that no step uses now."""
        if self.folder.exists():
            for folder in self.folder.iterdir():
                # A folder that is being made has a dot before its name.
                if not self._used.get(folder.with_name(folder.name.lstrip("."))):
                    self._trash.discard(folder)
