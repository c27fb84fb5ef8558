"""What takes room under the data root: GET /system/df, and what a prune gives back.

An image's size here is what it takes on this disk: its unpacked layers and the compressed ones that
it was pulled as, or will be pushed as. (`GET /images/json` tells the unpacked ones alone, as
Docker does.) What two images share is counted once in the sum.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ipycontainer_runtime.engine import imageviews
from ipycontainer_runtime.engine.building.cache import Cache
from ipycontainer_runtime.engine.checkpoints import Checkpoints
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.imageremoval import InUse
from ipycontainer_runtime.engine.volumes.volumes import Volumes
from ipycontainer_runtime.errors import InvalidParameter, NotFound
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore

TYPES = ("container", "image", "volume", "build-cache")


class DiskUsage:
    """Adds up what images, containers, volumes and builds take."""

    def __init__(
        self,
        *,
        containers: Containers,
        image_store: ImageStore,
        layers: LayerStore,
        blobs: BlobStore,
        in_use: InUse,
        build_cache: Cache,
        volumes: Volumes,
        checkpoints: Checkpoints,
    ) -> None:
        self._volumes = volumes
        self._checkpoints = checkpoints
        self._containers = containers
        self._images = image_store
        self._layers = layers
        self._blobs = blobs
        self._in_use = in_use
        self._build_cache = build_cache

    def images(self) -> int:
        """Return the bytes that all images take together."""
        return self._taken(self._parts(self._images.list()))

    async def report(self, types: Sequence[str], version: imageviews.Version) -> dict[str, Any]:
        """Return GET /system/df; what was not asked for is null, and no types are all."""
        for kind in types:
            if kind not in TYPES:
                raise InvalidParameter(f"unknown object type: {kind}: use {', '.join(TYPES)}")
        wanted = types or TYPES
        containers = "container" in wanted
        return {
            "LayersSize": self.images() if "image" in wanted else 0,
            "Images": self._listed(version) if "image" in wanted else None,
            "Containers": await self._of_containers() if containers else None,
            "Volumes": await self._volumes.usage() if "volume" in wanted else None,
            "BuildCache": await self._builds() if "build-cache" in wanted else None,
        }

    async def _of_containers(self) -> list[dict[str, Any]]:
        """Return the containers; what their checkpoints take goes with them, and counts."""
        found = await self._containers.list({}, show_all=True, size=True)
        for entry in found:
            with contextlib.suppress(NotFound):  # removed meanwhile
                entry["SizeRw"] += self._checkpoints.size(self._containers.get(entry["Id"]))
        return found

    async def _builds(self) -> list[dict[str, Any]]:
        chains = {chain for record in self._images.list() for chain in record.chain_ids}
        mounts = await asyncio.to_thread(self._build_cache.mount_shapes)
        return [*self._build_cache.shapes(chains), *mounts]

    def _listed(self, version: imageviews.Version) -> list[dict[str, Any]]:
        records = self._images.list()
        return [
            imageviews.summary(
                record,
                size=self._taken(self._parts([record])),
                containers=len(list(self._in_use(record.id))),
                shared=self._taken(self._shared(record, records)),
                version=version,
            )
            for record in records
        ]

    def _parts(self, records: Sequence[ImageRecord]) -> "_Parts":
        return _Parts(
            frozenset(digest for record in records for digest in self._images.blobs_of(record)),
            frozenset(chain for record in records for chain in record.chain_ids),
        )

    def _shared(self, record: ImageRecord, records: Sequence[ImageRecord]) -> "_Parts":
        one = self._parts([record])
        other = self._parts([other for other in records if other.id != record.id])
        return _Parts(one.blobs & other.blobs, one.chain_ids & other.chain_ids)

    def _taken(self, parts: "_Parts") -> int:
        blobs = (self._blobs.size(digest) for digest in parts.blobs if self._blobs.has(digest))
        return sum(blobs) + self._layers.total(parts.chain_ids)


class _Parts(NamedTuple):
    """What images consist of. An uncompressed layer can be both, under the same digest."""

    blobs: frozenset[str]
    chain_ids: frozenset[str]
