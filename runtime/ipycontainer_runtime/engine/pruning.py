"""Prune: remove what nobody uses, and tell how much room that made.

Filters are Docker's: `label=NAME[=VALUE]`, `label!=…`, `until=TIME` (created before), and for
images `dangling` (true when it is not given).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.diskusage import DiskUsage
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.images import Images, Use
from ipycontainer_runtime.engine.imageviews import epoch
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.engine.times import parse_age
from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotFound
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.store.images import ImageRecord, ImageStore

Filters = Mapping[str, Sequence[str]]


class Pruned(NamedTuple):
    """What was removed, and the bytes that its files took."""

    removed: list[str]
    report: list[dict[str, str]]
    reclaimed: int


class Pruning:
    """Removes containers that do not run, and images that no container and no name holds."""

    def __init__(
        self,
        *,
        containers: Containers,
        stopping: Stopping,
        snapshotter: Snapshotter,
        images: Images,
        image_store: ImageStore,
        disk_usage: DiskUsage,
        events: Events,
        in_use: Callable[[str], Iterable[Use]],
    ) -> None:
        self._containers = containers
        self._stopping = stopping
        self._snapshotter = snapshotter
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


class Chosen:
    """The filters of one prune, read and checked."""

    def __init__(self, filters: Filters, more: Sequence[str]) -> None:
        for name in filters:
            if name not in ("label", "label!", "until", *more):
                known = ", ".join(("label", "label!", "until", *more))
                raise InvalidParameter(f"invalid filter '{name}': use {known}")
        until = filters.get("until", ())
        if len(until) > 1:
            raise InvalidParameter("more than one until filter specified")
        self._until = parse_age(until[0], "until") if until else None
        self._wanted, self._unwanted = filters.get("label", ()), filters.get("label!", ())
        values = {value.lower() for value in filters.get("dangling", ())}
        if not values <= {"1", "true", "0", "false"}:
            raise InvalidParameter(
                f"invalid filter 'dangling=[{' '.join(sorted(values))}]': true or false is wanted"
            )
        self.dangling = not values & {"0", "false"}

    @property
    def until(self) -> int | None:
        """Before when a thing must have been, in nanoseconds since 1970."""
        return self._until

    def has(self, labels: Mapping[str, str] | None, created_ns: int) -> bool:
        """Tell whether the filters let this through."""
        given = labels or {}
        if self._until is not None and created_ns >= self._until:
            return False
        return all(_labelled(given, text) for text in self._wanted) and not any(
            _labelled(given, text) for text in self._unwanted
        )


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
