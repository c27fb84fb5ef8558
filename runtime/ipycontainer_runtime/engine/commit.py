"""Commit: what a container changed becomes a layer, and with it a new image."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.composing import compose
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.create import CreateBody, merged
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage, Made
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.engine.users import ownership_of
from ipycontainer_runtime.errors import Conflict
from ipycontainer_runtime.layers.diff import Packed, changes, write_layer
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore, disk_error
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerInfo, LayerStore


class CommitRequest(NamedTuple):
    """What to commit, and how the image is to be described."""

    container: str
    reference: Reference | None = None
    comment: str = ""
    author: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True
    config: CreateBody | None = None
    """Fields given here go before the container's own."""


class Commits:
    """The commits of one engine."""

    def __init__(
        self,
        *,
        containers: Containers,
        snapshotter: Snapshotter,
        ownership: Ownership,
        cgroups: Cgroups,
        blobs: BlobStore,
        image_store: ImageStore,
        layers: LayerStore,
        garbage: Garbage,
        events: Events,
    ) -> None:
        self._containers = containers
        self._snapshotter = snapshotter
        self._ownership = ownership
        self._cgroups = cgroups
        self._blobs = blobs
        self._image_store = image_store
        self._layers = layers
        self._garbage = garbage
        self._events = events

    async def commit(self, request: CommitRequest) -> str:
        """Make an image of a container and return its id; nothing is left of one that fails.

        A running container is frozen meanwhile unless `pause` is false. NotFound when there is no
        such container or its image is gone, InvalidParameter for a change that cannot be taken,
        Conflict when the container is removed meanwhile.
        """
        container = self._containers.get(request.container)
        with self._garbage.making() as made:
            record = await self._make(container, request, made)
        name = request.reference.canonical.familiar if request.reference else ""
        if name:
            labels = record.config.defaults.labels or {}
            self._events.publish("image", "tag", record.id, {**labels, "name": name})
        self._containers.publish(
            container, "commit", comment=request.comment, imageID=record.id, imageRef=name
        )
        return record.id

    async def _make(self, container: Container, request: CommitRequest, made: Made) -> ImageRecord:
        base = self._image_store.resolve(container.record.image)
        config = self._config(container, request)
        async with self._still(container, request.pause):
            try:
                packed = await asyncio.to_thread(self._pack, container, base, made)
            except OSError as error:
                _refuse_removed(container)  # its files went away while they were read
                raise disk_error(error, f"cannot commit container {container.id}") from error
        base = self._image_store.resolve(base.id)  # somebody may have removed it meanwhile
        manifest = self._describe(container, base, config, packed, request, made)
        references = [request.reference] if request.reference else []
        return self._image_store.add(manifest, references, parent=base.id)

    def _config(self, container: Container, request: CommitRequest) -> model.ContainerConfig:
        # The Dockerfile's language is half an engine's start to import.
        from ipycontainer_runtime.engine import instructions

        own = instructions.image_config(container.record.config)
        given = merged(request.config or CreateBody(), own)
        return instructions.changed(instructions.image_config(given), request.changes)

    @contextlib.asynccontextmanager
    async def _still(self, container: Container, pause: bool) -> AsyncIterator[None]:
        if not pause or not container.state.running or container.state.paused:
            yield
            return
        with self._cgroups.frozen(container.cgroup):
            self._containers.publish(container, "pause")
            yield
        self._containers.publish(container, "unpause")

    def _pack(self, container: Container, base: ImageRecord, made: Made) -> Packed | None:
        """Write the layer and unpack it for those who run the image; None where nothing changed."""
        folder, chain_ids = Path(container.folder), container.record.chain
        lowers = self._snapshotter.lowers(chain_ids)
        found = self._snapshotter.walk(folder, chain_ids)
        if next(changes(found, lowers, self._ownership), None) is None:
            return None
        try:
            with self._blobs.writer() as blob, self._layers.staging() as staging:
                nodes = self._snapshotter.walk(folder, chain_ids)
                packed = write_layer(
                    nodes,
                    blob=blob,
                    staging=staging,
                    ownership=self._ownership,
                    of_container=ownership_of(container.record, self._ownership),
                )
                made.blobs.add(packed.blob.digest)
                _refuse_removed(container)
                chain = model.chain_ids([*base.config.rootfs.diff_ids, packed.diff_id])
                made.layers.add(chain[-1])
                staging.commit(chain[-1], LayerInfo(packed.diff_id, packed.size))
        finally:
            self._layers.trash.empty()  # of what failed, or was committed before
        return packed

    def _describe(
        self,
        container: Container,
        base: ImageRecord,
        config: model.ContainerConfig,
        packed: Packed | None,
        request: CommitRequest,
        made: Made,
    ) -> model.Descriptor:
        created = rfc3339(time.time_ns())
        step = model.History(
            created=created,
            created_by=" ".join(container.record.config.command),
            author=request.author,
            comment=request.comment,
            empty_layer=packed is None,
        )
        diff_ids, layers = base.config.rootfs.diff_ids, base.manifest.layers
        if packed is not None:
            diff_ids = (*diff_ids, packed.diff_id)
            blob = packed.blob
            layers = (*layers, model.Descriptor(packed.media_type, blob.digest, blob.size))
        image = model.ImageConfig(
            architecture=base.config.architecture,
            os=base.config.os,
            variant=base.config.variant,
            created=created,
            author=request.author,
            config=config,
            rootfs=model.RootFs(diff_ids=diff_ids),
            history=(*base.config.steps, step),
            container=container.id,
        )
        docker = base.manifest.media_type == model.DOCKER_MANIFEST
        return compose(image, layers, blobs=self._blobs, made=made, docker=docker).descriptor


def _refuse_removed(container: Container) -> None:
    """What is read of a container that goes may be a part of it only."""
    if container.removing:
        raise Conflict(
            f"container {container.id} was removed while it was committed: "
            "commit first, then remove it"
        )
