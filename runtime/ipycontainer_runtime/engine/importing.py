"""Images made of a file system's archive, which a client sends or a URL has."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import NamedTuple

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.archived import Loaded
from ipycontainer_runtime.engine.composing import compose
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage, Made
from ipycontainer_runtime.engine.loading import Loads, sent, silence
from ipycontainer_runtime.engine.piped import Incoming, incoming
from ipycontainer_runtime.engine.progress import Pace, Progress, Say
from ipycontainer_runtime.engine.threads import to_its_end
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.layers.pipe import Feed, Stopped
from ipycontainer_runtime.layers.shelf import Member, shelve_layer
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.registry.hosts import without_login
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageStore


class ImportRequest(NamedTuple):
    """What is asked of an import; `source` is `-` for what the client sends, or a URL."""

    source: str
    reference: Reference | None = None
    changes: tuple[str, ...] = ()
    message: str = ""
    platform: Platform | None = None


class Import:
    """An archive that a client sends: taken while it arrives, then made an image."""

    def __init__(self, imports: "Imports", made: Made, archive: Incoming[Member]) -> None:
        self._imports = imports
        self._made = made
        self._archive = archive

    async def put(self, chunk: bytes) -> None:
        """Hand on the next bytes as they came."""
        await self._archive.put(chunk)

    async def finish(self, request: ImportRequest) -> AsyncGenerator[Progress, None]:
        """Make the image and yield its id as Docker does; InvalidParameter for a bad archive."""
        with sent():
            config = _config(request)
            layer = await self._archive.result()
            yield progress.status(await self._imports.make(request, config, layer, self._made))


class Imports:
    """The imports of one engine; used on its event loop."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        image_store: ImageStore,
        loads: Loads,
        garbage: Garbage,
        events: Events,
    ) -> None:
        self._blobs = blobs
        self._image_store = image_store
        self._loads = loads
        self._garbage = garbage
        self._events = events

    @contextlib.asynccontextmanager
    async def receive(self) -> AsyncIterator[Import]:
        """Take an archive, plain or compressed; nothing is left unless it is made an image."""
        with self._garbage.making() as made:

            def take(feed: Feed) -> Member:
                return shelve_layer(feed, self._blobs, made.blobs.add)

            async with incoming(take) as archive:
                yield Import(self, made, archive)

    def fetch(self, request: ImportRequest) -> AsyncGenerator[Progress, None]:
        """Make an image of the archive at a URL, yielding Docker's progress messages."""
        return progress.told(lambda say: self._fetch(request, say))

    async def _fetch(self, request: ImportRequest, say: Say) -> None:
        # Imported here: `requests` costs an idle engine time and memory.
        from ipycontainer_runtime.registry import download

        url, config = request.source, _config(request)
        url = url if "://" in url else f"http://{url}"
        download.check(url)
        say(progress.status(f"Downloading from {without_login(url)}"))
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def tell(done: int, total: int) -> None:
            message = progress.layer("Importing", "", done, total)
            loop.call_soon_threadsafe(say, message)

        with self._garbage.making() as made:
            layer = await to_its_end(lambda: self._download(url, tell, stop, made), stop.set)
            say(progress.status(await self.make(request, config, layer, made)))

    def _download(
        self,
        url: str,
        tell: Callable[[int, int], None],
        stop: threading.Event,
        made: Made,
    ) -> Member:
        from ipycontainer_runtime.registry.download import fetching

        with fetching(url) as fetched:

            def chunks() -> Iterator[bytes]:
                done, pace = 0, Pace()
                for chunk in fetched.chunks:
                    if stop.is_set():
                        raise Stopped
                    done += len(chunk)
                    if pace.due():
                        tell(done, fetched.size)
                    yield chunk

            return shelve_layer(chunks(), self._blobs, made.blobs.add)

    async def make(
        self,
        request: ImportRequest,
        config: model.ContainerConfig,
        layer: Member,
        made: Made,
    ) -> str:
        """Make an image of one layer whose blob is here, and return its id."""
        image = await asyncio.to_thread(self._describe, request, config, layer, made)
        made.layers.update(image.config.rootfs.diff_ids)
        await self._loads.unpack([image], silence)
        self._loads.check_whole(image)
        self._image_store.add(image.descriptor, image.tags)
        name = image.tags[0].familiar if image.tags else image.id
        self._events.publish("image", "import", image.id, {"name": name})
        return image.id

    def _describe(
        self, request: ImportRequest, config: model.ContainerConfig, layer: Member, made: Made
    ) -> Loaded:
        created = rfc3339(time.time_ns())
        comment = request.message or f"Imported from {without_login(request.source)}"
        machine = request.platform or platforms.host()
        image = model.ImageConfig(
            architecture=machine.architecture,
            os=machine.os,
            variant=machine.variant or "",
            created=created,
            comment=comment,
            config=config,
            rootfs=model.RootFs(diff_ids=(layer.diff_id,)),
            history=(model.History(created=created, comment=comment),),
        )
        blob = model.Descriptor(model.OCI_LAYER_GZIP, layer.digest, layer.size)
        written = compose(image, [blob], blobs=self._blobs, made=made)
        tags = (request.reference,) if request.reference else ()
        return Loaded(*written, image, tags)


def _config(request: ImportRequest) -> model.ContainerConfig:
    from ipycontainer_runtime.engine import instructions  # half an engine's start to import

    return instructions.changed(model.ContainerConfig(), request.changes)
