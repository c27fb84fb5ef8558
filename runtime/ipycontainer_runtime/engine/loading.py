"""Archives of images into the store: those of Docker's engines, and OCI layouts.

All of an archive is taken first, since what names its parts may come last. Then its layers are
unpacked as a pull's are, and its images are named at once, when all of them are here.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.archived import Loaded, read
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage, Made
from ipycontainer_runtime.engine.piped import Incoming, incoming
from ipycontainer_runtime.engine.progress import Progress, Say
from ipycontainer_runtime.engine.transfers import Transfers
from ipycontainer_runtime.engine.unpacking import Source, Stores
from ipycontainer_runtime.errors import Conflict, Corrupt, InvalidParameter
from ipycontainer_runtime.layers.pipe import Feed
from ipycontainer_runtime.layers.shelf import Shelf
from ipycontainer_runtime.oci.model import Descriptor
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.images import ImageRecord, ImageStore


class Load:
    """One archive: taken while it arrives, then told of while its images are made."""

    def __init__(self, loads: "Loads", shelf: Shelf, made: Made, archive: Incoming[None]) -> None:
        self._loads = loads
        self._shelf = shelf
        self._made = made
        self._archive = archive

    async def put(self, chunk: bytes) -> None:
        """Hand on the next bytes as they came."""
        await self._archive.put(chunk)

    async def finish(
        self, platform: Platform | None, *, quiet: bool
    ) -> AsyncGenerator[Progress, None]:
        """Make the images and yield Docker's messages; InvalidParameter for a bad archive."""
        with sent():
            await self._archive.result()
            images = await asyncio.to_thread(
                read, self._shelf, self._loads.stores.blobs, platform, self._made.blobs.add
            )
        for image in images:
            self._made.layers.update(layer.chain_id for layer in image.layers)

        async def unpack(say: Say) -> None:
            await self._loads.unpack(images, silence if quiet else say)

        with sent():
            async with contextlib.aclosing(progress.told(unpack)) as told:
                async for message in told:
                    yield message
        for message in self._loads.name(images):
            yield message


class Loads:
    """The loads of one engine; used on its event loop."""

    def __init__(
        self,
        *,
        stores: Stores,
        image_store: ImageStore,
        garbage: Garbage,
        events: Events,
    ) -> None:
        self.stores = stores
        self._image_store = image_store
        self._garbage = garbage
        self._events = events
        self._transfers = Transfers(stores)

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        """Take an archive; what was not named at the end of the block is deleted again."""
        with self._garbage.making() as made:
            shelf = Shelf(self.stores.blobs, made.blobs.add)

            def take(feed: Feed) -> None:
                shelf.fill(feed)

            async with incoming(take) as archive:
                yield Load(self, shelf, made, archive)

    async def unpack(self, images: Iterable[Loaded], say: Say) -> None:
        """Unpack the layers of images whose blobs are all here."""
        for image in images:
            names = {layer.short: progress.short(layer.diff_id) for layer in image.layers}
            await self._transfers.fetch(image.layers, _missing, _told_as(names, say))

    def name(self, images: Sequence[Loaded]) -> list[Progress]:
        """Name images that are whole, all in one step of the event loop; return what to say."""
        for image in images:
            self.check_whole(image)
        messages: list[Progress] = []
        for image in images:
            messages += self._renamed(image)
            self._add(image)
            self._events.publish("image", "load", image.id, {"name": image.id})
            lines = [f"Loaded image: {tag.familiar}" for tag in image.tags]
            messages += [
                {"stream": f"{line}\n"} for line in lines or [f"Loaded image ID: {image.id}"]
            ]
        return messages

    def check_whole(self, image: Loaded) -> None:
        """Refuse to name an image that lacks a part, in the step in which it would be named."""
        whole = all(map(self.stores.blobs.has, image.blobs))
        if not whole or not all(map(self.stores.has, image.layers)):
            raise Conflict(f"parts of {image.id} were removed meanwhile: do it again")

    def _add(self, image: Loaded) -> None:
        known = self._image_store.find(image.id)
        descriptor = known.descriptor if known and image.replaceable else image.descriptor
        parent = image.parent if self._image_store.find(image.parent) else ""
        self._image_store.add(descriptor, image.tags, parent=parent)

    def _renamed(self, image: Loaded) -> list[Progress]:
        """Say which names other images lose."""
        return [
            {
                "stream": f"The image {tag.familiar} already exists, renaming the old one"
                f" with ID {other.id} to empty string\n"
            }
            for tag in image.tags
            if (other := self._named(tag)) is not None and other.id != image.id
        ]

    def _named(self, tag: Reference) -> ImageRecord | None:
        return next((r for r in self._image_store.list() if tag in r.references), None)


def _told_as(names: dict[str, str], say: Say) -> Say:
    """Tell of layers as `docker load` does: by their diff ids, and while they come alone."""

    def tell(message: Progress) -> None:
        counted = message.get("progressDetail")
        if counted:
            name = names[message["id"]]
            say(progress.layer("Loading layer", name, counted["current"], counted["total"]))

    return tell


def _missing(blob: Descriptor) -> Source:
    raise Conflict(f"the blob {blob.digest} was removed meanwhile: load the archive again")


def silence(_: Progress) -> None:
    """Hear of a layer, and say nothing."""


@contextlib.contextmanager
def sent() -> Iterator[None]:
    """Have what is wrong with an archive be the error of the client who sent it."""
    try:
        yield
    except Corrupt as error:
        raise InvalidParameter(str(error)) from error
