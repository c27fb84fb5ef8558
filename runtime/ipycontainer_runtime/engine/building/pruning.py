"""POST /build/prune: steps of earlier builds are forgotten, and their layers go.

A record is in use while an image has its layer; `all` forgets those too, which frees nothing but
has the next build do everything again. Filters are Docker's, as far as they mean something here.
"""

import asyncio
from collections.abc import Sequence

from ipycontainer_runtime.engine.building.cache import Cache, Record
from ipycontainer_runtime.engine.building.persistent import Persistent
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage
from ipycontainer_runtime.engine.pruned import Chosen, Filters, Pruned
from ipycontainer_runtime.layers.snapshot import tree_size
from ipycontainer_runtime.oci import digest as digests

_STEPS, _MOUNTS = "regular", "exec.cachemount"
_MORE = ("all", "dangling", "id", "type")


class BuildPruning:
    """Prunes the cache of one engine."""

    def __init__(
        self, *, cache: Cache, persistent: Persistent, garbage: Garbage, events: Events
    ) -> None:
        self._cache = cache
        self._persistent = persistent
        self._garbage = garbage
        self._events = events

    def image_gone(self, image: str) -> None:
        """Forget the steps of an image that is being removed; their layers go after its own."""
        gone = self._cache.image_gone(image)
        if gone:
            asyncio.get_running_loop().call_soon(self._discard, gone)

    def _discard(self, gone: Sequence[Record]) -> None:
        self._garbage.discard(
            blobs=[record.blob.digest for record in gone if record.blob],
            layers=[record.chain_id for record in gone if record.chain_id],
        )

    def prune(self, filters: Filters, *, everything: bool, keep: int = 0) -> Pruned:
        """Forget steps, the longest unused first, while they take more than `keep` bytes.

        Without `everything` those that are in an image stay.
        """
        chosen = Chosen(filters, _MORE)
        taken = sum(self._cache.size(record) for _, record in self._cache.items())
        gone: list[str] = []
        freed = 0
        for key, record in self._cache.items():
            if keep and taken <= keep:
                break
            if self._stays(key, record, filters, chosen, everything=everything):
                continue
            gone.append(key)
            taken -= self._cache.size(record)
            freed += 0 if record.images else self._cache.size(record)
        records = [self._cache.record(key) for key in gone]
        self._cache.forget(gone)
        self._discard(records)
        if _means(filters, _MOUNTS) and not keep and not {"id", "until", "label"} & set(filters):
            freed += self._mounts()
        self._events.publish("builder", "prune", "", {"reclaimed": str(freed)})
        return Pruned([digests.hex_of(key)[:25] for key in gone], [], freed)

    def _stays(
        self, key: str, record: Record, filters: Filters, chosen: Chosen, *, everything: bool
    ) -> bool:
        if not _means(filters, _STEPS) or (record.images and not everything):
            return True
        if not chosen.has(None, int(record.used * 1_000_000_000)):  # a step has no labels
            return True
        wanted = filters.get("id", ())
        return bool(wanted) and not any(digests.hex_of(key).startswith(one) for one in wanted)

    def _mounts(self) -> int:
        """Discard cache mounts, and return the bytes that they took."""
        folder = self._persistent.folder
        before = tree_size(folder) if folder.exists() else 0
        self._persistent.prune()
        return before - (tree_size(folder) if folder.exists() else 0)


def _means(filters: Filters, kind: str) -> bool:
    """Tell whether a prune is about this kind of things, by the names of `system df`."""
    return "type" not in filters or kind in filters["type"]
