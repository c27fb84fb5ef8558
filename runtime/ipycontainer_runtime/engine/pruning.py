"""Prune: remove what nobody uses, and tell how much room that made.

The filters are in `pruned`; volumes prune themselves.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ipycontainer_runtime.engine.checkpoints import Checkpoints
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.diskusage import DiskUsage
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.images import Images, Use
from ipycontainer_runtime.engine.imageviews import epoch
from ipycontainer_runtime.engine.pruned import Chosen, Filters, Pruned
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.errors import Conflict, NotFound
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.store.images import ImageRecord, ImageStore


class Pruning:
    """Removes containers that do not run, and images that no container and no name holds."""

    def __init__(
        self,
        *,
        containers: Containers,
        stopping: Stopping,
        snapshotter: Snapshotter,
        checkpoints: Checkpoints,
        images: Images,
        image_store: ImageStore,
        disk_usage: DiskUsage,
        events: Events,
        in_use: Callable[[str], Iterable[Use]],
    ) -> None:
        self._containers = containers
        self._stopping = stopping
        self._snapshotter = snapshotter
        self._checkpoints = checkpoints
        self._images = images
        self._store = image_store
        self._disk_usage = disk_usage
        self._events = events
        self._in_use = in_use

    async def containers(self, filters: Filters) -> Pruned:
        """Remove the containers that do not run and that the filters let through."""
        chosen = Chosen(filters, ())
        pruned = Pruned([], [], 0)
        for container in self._containers.all():
            record = container.record
            if container.state.active or not chosen.has(record.config.labels, record.created_ns):
                continue
            folder = Path(container.folder)
            size = await asyncio.to_thread(self._snapshotter.usage, folder, record.chain)
            size += self._checkpoints.size(container)
            # It may have been started, or removed, meanwhile.
            with contextlib.suppress(Conflict, NotFound):
                await self._stopping.remove(container.id)
                pruned.removed.append(container.id)
                pruned = pruned._replace(reclaimed=pruned.reclaimed + size)
        self._events.publish("container", "prune", "", {"reclaimed": str(pruned.reclaimed)})
        return pruned

    def images(self, filters: Filters) -> Pruned:
        """Remove images without a name, or with `dangling=false` every one that none stands on."""
        chosen = Chosen(filters, ("dangling",))
        pruned = Pruned([], [], 0)
        before = self._disk_usage.images()
        for record in self._store.list():
            labels = record.config.defaults.labels
            created = int(epoch(record.created) * 1_000_000_000)
            if not chosen.has(labels, created) or [*self._in_use(record.id)]:
                continue
            names = self._names(record, dangling=chosen.dangling)
            for name in names:
                with contextlib.suppress(Conflict, NotFound):
                    pruned.report.extend(self._images.remove(name))
        pruned = pruned._replace(reclaimed=max(0, before - self._disk_usage.images()))
        self._events.publish("image", "prune", "", {"reclaimed": str(pruned.reclaimed)})
        return pruned

    def _names(self, record: ImageRecord, *, dangling: bool) -> list[str]:
        """Return by what to remove an image: all its names, its id, or nothing."""
        parents = {other.parent for other in self._store.list()}
        if not record.references:
            return [] if record.id in parents else [record.id]
        return [] if dangling else [reference.familiar for reference in record.references]

    def nothing(self, kind: str, filters: Filters) -> None:
        """Answer for what there is none of: check the filters, and tell that it was pruned."""
        Chosen(filters, ("all", "dangling", "id", "parent", "type", "inuse"))
        self._events.publish(kind, "prune", "", {"reclaimed": "0"})
