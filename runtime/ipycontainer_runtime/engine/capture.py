"""Images made of this machine's own environment, with no registry: `host`, and others by name."""

import asyncio
import functools
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage, Made
from ipycontainer_runtime.engine.progress import Pace, Progress, Say
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.layers import apply as applying
from ipycontainer_runtime.layers.compression import GZIP, compressor
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore, Stored
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore

if TYPE_CHECKING:
    from ipycontainer_runtime.capture.interpreter import Interpreter

HOST = "host"
"""The image that is always there: pulling it, or running it, captures the engine's own Python."""


class Captures:
    """The captures of one engine; `python` is the interpreter taken unless another is named."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        image_store: ImageStore,
        layers: LayerStore,
        garbage: Garbage,
        ownership: Ownership,
        events: Events,
        python: str = sys.executable,
    ) -> None:
        self._blobs = blobs
        self._image_store = image_store
        self._layers = layers
        self._garbage = garbage
        self._ownership = ownership
        self._events = events
        self._python = python

    def capture(
        self, reference: Reference, python: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Make an image of the environment of `python` and name it; yield progress messages.

        Takes seconds. Raises InvalidParameter when `python` is no interpreter, or for a name with a
        digest; an abandoned or failed capture leaves nothing behind.
        """
        if reference.digest:
            raise InvalidParameter(
                f"{reference.familiar} is not here, and no capture can be asked for by its digest, "
                f"which it gets when it is made: use {reference.familiar_name} alone"
            )
        return progress.told(functools.partial(self._capture, reference, python or self._python))

    async def _capture(self, reference: Reference, python: str, say: Say) -> None:
        say(progress.status(f"Capturing {python}", reference.familiar))
        loop = asyncio.get_running_loop()
        stop = threading.Event()

        def tell(done: int, total: int) -> None:
            message = progress.layer("Capturing", "host", done, total)
            loop.call_soon_threadsafe(say, message)

        with self._garbage.making() as made:
            work = asyncio.ensure_future(
                asyncio.to_thread(self._make, python, tell, stop.is_set, made)
            )
            try:
                manifest = await asyncio.shield(work)
            except asyncio.CancelledError:
                stop.set()
                await asyncio.wait([work])
                raise
            record = self._image_store.add(manifest, [reference])
        say(progress.layer("Capture complete", "host"))
        say(progress.status(f"Digest: {manifest.digest}"))
        say(progress.status(f"Status: Captured {record.id[:19]} as {reference.familiar}"))
        self._events.publish("image", "capture", record.id, {"name": reference.familiar})

    def _make(
        self,
        python: str,
        tell: Callable[[int, int], None],
        stopped: Callable[[], bool],
        made: Made,
    ) -> model.Descriptor:
        # Imported here: the reader of ELF files would cost every start of the engine 30 ms.
        from ipycontainer_runtime.capture import archive, interpreter, libraries, system
        from ipycontainer_runtime.capture.tree import Tree

        asked, tree = interpreter.ask(python), Tree()
        interpreter.collect(asked, tree)
        system.collect(tree)
        libraries.collect(tree)
        counter = _Counter(tree.size(), tell, stopped)
        chunks = _compressed(archive.stream(tree, counter.add))
        try:
            with self._blobs.writer() as blob, self._layers.staging() as staging:
                applied = applying.apply(chunks, staging, ownership=self._ownership, blob=blob)
                assert applied.blob is not None
                made.blobs.add(applied.blob.digest)
                (chain_id,) = model.chain_ids([applied.diff_id])
                made.layers.add(chain_id)
                applying.finish(staging, applied, chain_id, [])
        finally:
            self._layers.trash.empty()  # of what failed, or was captured before
        return self._describe(asked, applied.blob, applied.diff_id, made)

    def _describe(
        self, python: "Interpreter", layer: Stored, diff_id: str, made: Made
    ) -> model.Descriptor:
        host, created = platforms.host(), rfc3339(time.time_ns())
        story = f"ipycontainer capture {python.executable}"
        config = model.ImageConfig(
            architecture=host.architecture,
            os=host.os,
            variant=host.variant or "",
            created=created,
            rootfs=model.RootFs(diff_ids=(diff_id,)),
            config=model.ContainerConfig(
                env=[
                    f"PATH={_search_path(python)}",
                    "LANG=C.UTF-8",
                    f"PYTHON_VERSION={python.release}",
                ],
                cmd=["python3"],
            ),
            history=(model.History(created=created, created_by=story),),
        )
        content = self._blobs.put(model.encode(config))
        made.blobs.add(content.digest)
        manifest = model.Manifest(
            media_type=model.OCI_MANIFEST,
            config=model.Descriptor(model.OCI_CONFIG, content.digest, content.size),
            layers=(model.Descriptor(model.OCI_LAYER_GZIP, layer.digest, layer.size),),
        )
        stored = self._blobs.put(model.encode(manifest))
        made.blobs.add(stored.digest)
        return model.Descriptor(model.OCI_MANIFEST, stored.digest, stored.size)


class _Counter:
    """Counts the bytes read, tells of them at a readable pace, and ends a capture given up."""

    def __init__(
        self, total: int, tell: Callable[[int, int], None], stopped: Callable[[], bool]
    ) -> None:
        self._total = total
        self._tell = tell
        self._stopped = stopped
        self._done = 0
        self._pace = Pace()

    def add(self, count: int) -> None:
        if self._stopped():
            raise asyncio.CancelledError
        self._done += count
        if self._pace.due():
            self._tell(self._done, self._total)


def _search_path(python: "Interpreter") -> str:
    from ipycontainer_runtime.capture.system import SEARCH_PATH

    own = f"{python.prefix}/bin"
    return SEARCH_PATH if own in SEARCH_PATH.split(":") else f"{own}:{SEARCH_PATH}"


def _compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield gzip of the chunks, gathered so that each step is worth its call."""
    gzip = compressor(GZIP)
    for chunk in chunks:
        if ready := gzip.compress(chunk):
            yield ready
    yield gzip.flush()
