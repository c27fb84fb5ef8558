"""Layers on their way from a registry to the store, each fetched once however many pulls want it.

A transfer is one layer's download, verification and unpacking, in one pass on a thread. Pulls
*join* it and hear its progress; when the last of them leaves before its end, it is stopped and
leaves nothing behind. Layers are unpacked side by side and committed from the lowest up.
"""

import asyncio
from collections.abc import Callable, Sequence

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.progress import Progress, Say
from ipycontainer_runtime.engine.unpacking import Layer, Local, Source, Staged, Stores, Unpacking
from ipycontainer_runtime.oci.model import Descriptor

PARALLEL = 3
"""Layers that are fetched at once, as many as Docker's engine fetches."""

Open = Callable[[Descriptor], Source]


class Transfers:
    """All transfers of one engine; used on its event loop."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._running: dict[str, _Transfer] = {}
        self._slots = asyncio.Semaphore(PARALLEL)

    async def fetch(self, wanted: Sequence[Layer], source: Open, say: Say) -> None:
        """Fetch the layers that are not here, lowest first, and tell of each.

        Raises what stopped the first that failed. However it ends, nothing is in transfer on this
        caller's behalf afterwards.
        """
        joined: list[tuple[_Transfer, Say]] = []
        told: set[str] = set()
        try:
            for layer in wanted:
                # One blob may be several layers of an image; a person hears of it once.
                hear = _silence if layer.short in told else say
                told.add(layer.short)
                if layer.chain_id not in self._running and self._stores.has(layer):
                    hear(progress.layer("Already exists", layer.short))
                else:
                    joined.append((self._join(layer, source, hear), hear))
            await asyncio.gather(*(asyncio.shield(transfer.task) for transfer, _ in joined))
        finally:
            await self._leave(joined)

    def _join(self, layer: Layer, source: Open, say: Say) -> "_Transfer":
        say(progress.layer("Pulling fs layer", layer.short))
        transfer = self._running.get(layer.chain_id)
        if transfer is None:
            transfer = self._begin(layer, source)
        transfer.add(say)
        return transfer

    def _begin(self, layer: Layer, source: Open) -> "_Transfer":
        below = self._running.get(layer.below[-1]) if layer.below else None
        twins = [t for t in self._running.values() if t.digest == layer.descriptor.digest]
        transfer = self._running[layer.chain_id] = _Transfer(layer)
        # It waits only for what began before it, so nothing can wait in a circle.
        transfer.task = asyncio.create_task(self._run(transfer, source, below, twins))
        return transfer

    async def _leave(self, joined: "Sequence[tuple[_Transfer, Say]]") -> None:
        """Stop what nobody else waits for, from the top down, and wait until it has stopped."""
        ending = set()
        for transfer, say in reversed(joined):
            if transfer.drop(say):
                self._forget(transfer)
                transfer.task.cancel()
                ending.add(transfer.task)
        if ending:
            await asyncio.wait(ending)
        for task in ending:
            # The first failure was raised; asyncio reports those that nobody looked at.
            _ = task.cancelled() or task.exception()

    def _forget(self, transfer: "_Transfer") -> None:
        if self._running.get(transfer.layer.chain_id) is transfer:
            del self._running[transfer.layer.chain_id]

    async def _run(
        self,
        transfer: "_Transfer",
        source: Open,
        below: "_Transfer | None",
        twins: "Sequence[_Transfer]",
    ) -> None:
        """Fetch, unpack and name one layer.

        `below` is the transfer of the layer under it; `twins` fetch the same blob for another
        place, so when they have ended it is here, or must be fetched after all.
        """
        layer = transfer.layer
        try:
            if twins:
                await asyncio.wait([twin.task for twin in twins])
            if self._slots.locked():
                transfer.tell(progress.layer("Waiting", layer.short))
            async with self._slots:
                work = self._unpacking(transfer, source)
                staged = await _on_thread(work)
            if staged is not None:
                await self._commit(work, staged, below)
            transfer.tell(progress.layer("Pull complete", layer.short))
        finally:
            self._forget(transfer)

    async def _commit(self, work: Unpacking, staged: Staged, below: "_Transfer | None") -> None:
        with staged.staging:
            if below is not None:
                await asyncio.shield(below.task)
            await asyncio.to_thread(work.commit, staged)

    def _unpacking(self, transfer: "_Transfer", source: Open) -> Unpacking:
        descriptor = transfer.layer.descriptor
        here = self._stores.blobs.has(descriptor.digest)
        chunks = Local(self._stores.blobs.path(descriptor.digest)) if here else source(descriptor)
        loop = asyncio.get_running_loop()

        def tell(message: Progress) -> None:
            loop.call_soon_threadsafe(transfer.tell, message)

        return Unpacking(transfer.layer, chunks, self._stores, tell)


class _Transfer:
    """One layer in transfer: its task, and who hears of it."""

    task: "asyncio.Task[None]"

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._listeners: list[Say] = []
        self._latest: Progress | None = None

    @property
    def digest(self) -> str:
        return self.layer.descriptor.digest

    def add(self, say: Say) -> None:
        self._listeners.append(say)
        if self._latest is not None:
            say(self._latest)

    def drop(self, say: Say) -> bool:
        """Remove one listener; tell whether it was the last."""
        self._listeners.remove(say)
        return not self._listeners

    def tell(self, message: Progress) -> None:
        self._latest = message
        for say in self._listeners:
            say(message)


def _silence(_: Progress) -> None:
    """Hear of a layer, and say nothing."""


async def _on_thread(work: Unpacking) -> Staged | None:
    """Run on a thread; when cancelled, stop the thread and wait for its end before going on."""
    running = asyncio.ensure_future(asyncio.to_thread(work.run))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        work.stop()
        await asyncio.wait([running])
        if not running.exception() and (staged := running.result()) is not None:
            staged.staging.close()
        raise
