"""Pushing images, told as Docker tells it: blobs as they lie in the store, then the manifest."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.progress import Pace, Progress, Say
from ipycontainer_runtime.errors import InvalidParameter, NotFound
from ipycontainer_runtime.oci.model import Descriptor
from ipycontainer_runtime.oci.reference import DEFAULT_TAG, Reference
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageRecord, ImageStore

if TYPE_CHECKING:
    from ipycontainer_runtime.registry.upload import Sent, Uploader

PARALLEL = 5
"""Layers that are pushed at once, as many as Docker's engine pushes."""
MOST_SOURCES = 4
"""Repositories that a blob is looked for in before it is sent."""


class Pushes:
    """The pushes of one engine; used on its event loop."""

    def __init__(self, *, blobs: BlobStore, image_store: ImageStore, events: Events) -> None:
        self._blobs = blobs
        self._image_store = image_store
        self._events = events

    def push(
        self, name: str, tag: str | None = None, auth: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Push one tag of a repository, or without one all of its tags.

        Yields Docker's progress messages; `auth` is the X-Registry-Auth header as it was sent.
        Raises a ContainerError before the first message or later.
        """
        repository = Reference.parse(name, default_tag=None)
        if repository.digest:
            raise InvalidParameter("cannot push a digest reference")
        if tag or repository.tag:
            repository = repository.with_tag(tag or repository.tag or DEFAULT_TAG)
        return progress.told(lambda say: self._push(repository, auth, say))

    async def _push(self, wanted: Reference, auth: str | None, say: Say) -> None:
        from ipycontainer_runtime.credentials.config import DockerConfig
        from ipycontainer_runtime.registry.client import Registry
        from ipycontainer_runtime.registry.credentials import Given
        from ipycontainer_runtime.registry.upload import Uploader

        say(progress.status(f"The push refers to repository [{wanted.name}]"))
        chosen = self._chosen(wanted)
        credentials = Given(auth, DockerConfig())
        with await asyncio.to_thread(Registry, wanted.domain, credentials) as registry:
            uploader = Uploader(registry, wanted.path)
            for tag, record in chosen.items():
                sources = Sources(self._image_store.list(), wanted)
                await _ImagePush(uploader, self._blobs, record, sources, say).run(tag)
                pushed = wanted.with_digest(record.descriptor.digest)
                self._image_store.tag(record, pushed)
                attributes = {**(record.config.defaults.labels or {}), "name": wanted.familiar_name}
                actor = wanted.with_tag(tag).familiar
                self._events.publish("image", "push", actor, attributes)

    def _chosen(self, wanted: Reference) -> dict[str, ImageRecord]:
        """Return the images to push, by tag."""
        found = {
            reference.tag: record
            for record in self._image_store.list()
            for reference in record.references
            if reference.name == wanted.name and reference.tag and not reference.digest
        }
        if not found:
            raise NotFound(f"An image does not exist locally with the tag: {wanted.familiar_name}")
        if not wanted.tag:
            return found
        if wanted.tag not in found:
            raise NotFound(f"tag does not exist: {wanted.familiar}")
        return {wanted.tag: found[wanted.tag]}


class Sources:
    """Which other repositories of a registry are known to hold a blob.

    Known are those that images here were pulled from or pushed to (their repo digests). Names of
    other registries are not this one's to hear.
    """

    def __init__(self, records: Iterable[ImageRecord], target: Reference) -> None:
        self._found: dict[str, list[str]] = {}
        for record in records:
            for reference in record.references:
                if reference.digest and reference.domain == target.domain:
                    self._add(record, reference.path, target.path)

    def _add(self, record: ImageRecord, path: str, own: str) -> None:
        for layer in record.manifest.layers:
            known = self._found.setdefault(layer.digest, [])
            if path not in (own, *known):
                known.append(path)

    def of(self, digest: str) -> list[str]:
        """Return the repositories to mount this blob from, a few at most."""
        return self._found.get(digest, [])[:MOST_SOURCES]


class _ImagePush:
    """The push of one image under one tag."""

    def __init__(
        self,
        uploader: "Uploader",
        blobs: BlobStore,
        record: ImageRecord,
        sources: "Sources",
        say: Say,
    ) -> None:
        self._uploader = uploader
        self._blobs = blobs
        self._record = record
        self._sources = sources
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(PARALLEL)
        self._stop = threading.Event()

    async def run(self, tag: str) -> None:
        """Push layers, config and manifest; when cancelled, wait until the threads have ended."""
        sending = [asyncio.ensure_future(self._send(*pair)) for pair in self._layers()]
        try:
            await asyncio.gather(*(asyncio.shield(task) for task in sending))
            await asyncio.to_thread(self._finish, tag)
        finally:
            self._stop.set()
            if sending:
                await asyncio.wait(sending)
            for task in sending:
                # The first failure was raised; asyncio reports those that nobody looked at.
                _ = task.cancelled() or task.exception()
        digest, size = self._record.descriptor.digest, self._record.descriptor.size
        self._say(progress.status(f"{tag}: digest: {digest} size: {size}"))
        self._say({"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest, "Size": size}})

    def _layers(self) -> list[tuple[Descriptor, str]]:
        """Say what will be pushed, uppermost first; a blob that is two layers is sent once."""
        diff_ids = self._record.config.rootfs.diff_ids
        pairs = list(zip(self._record.manifest.layers, diff_ids, strict=True))[::-1]
        named = [(layer, progress.short(diff_id)) for layer, diff_id in pairs]
        for _, name in named:
            self._say(progress.layer("Preparing", name))
        return list({layer.digest: (layer, name) for layer, name in named}.values())

    async def _send(self, layer: Descriptor, name: str) -> None:
        if self._slots.locked():
            self._say(progress.layer("Waiting", name))
        async with self._slots:
            if not self._stop.is_set():
                await asyncio.to_thread(self._upload, layer, name)

    def _upload(self, layer: Descriptor, name: str) -> None:
        if self._uploader.has(layer.digest):
            self._tell(progress.layer("Layer already exists", name))
            return
        mount = self._uploader.mount(layer.digest, self._sources.of(layer.digest))
        if mount.source:
            self._tell(progress.layer(f"Mounted from {mount.source}", name))
            return
        pace = Pace()

        def sent(done: int) -> None:
            if done == layer.size or pace.due():
                self._tell(progress.layer("Pushing", name, done, layer.size))

        self._blob(layer, sent, mount.location)
        self._tell(progress.layer("Pushed", name))

    def _blob(self, blob: Descriptor, sent: "Sent", location: str = "") -> None:
        # Opened before anything is sent: a removal meanwhile takes its name, not its content.
        with self._blobs.open(blob.digest) as file:
            self._uploader.blob(blob, file, sent, self._stop, location)

    def _finish(self, tag: str) -> None:
        """Push the config, and then the manifest, which names everything before it."""
        config, manifest = self._record.manifest.config, self._record.descriptor
        if not self._uploader.has(config.digest):
            self._blob(config, lambda _: None)
        self._uploader.manifest(self._blobs.read(manifest.digest), manifest.media_type, tag)

    def _tell(self, message: Progress) -> None:
        self._loop.call_soon_threadsafe(self._say, message)
