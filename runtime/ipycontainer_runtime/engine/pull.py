"""Pulling images: several layers at once, each in one pass, told as Docker tells it."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.progress import Progress, Say
from ipycontainer_runtime.engine.transfers import Transfers
from ipycontainer_runtime.engine.unpacking import Stores
from ipycontainer_runtime.errors import ContainerError, InvalidParameter, NotFound
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.lookup import Described, Found, Source

T = TypeVar("T")

Capture = Callable[[Reference], AsyncGenerator[Progress, None]]
"""Makes an image from this machine, with no registry, and tells its progress."""


class Pulls:
    """The pulls of one engine; used on its event loop.

    `captures` are the images made on the spot, by familiar name (`host`); `held` answers on which
    layers, by chain id, containers stand and other images that are being made, `kept` which blobs
    those need.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        image_store: ImageStore,
        layers: LayerStore,
        ownership: Ownership,
        events: Events,
        held: Callable[[], Iterable[str]],
        kept: Callable[[], Iterable[str]],
        captures: Mapping[str, Capture] | None = None,
    ) -> None:
        self._stores = Stores(blobs, layers, ownership)
        self._image_store = image_store
        self._events = events
        self._held = held
        self._kept = kept
        self._captures = captures or {}
        self._transfers = Transfers(self._stores)
        self._active: dict[object, Found] = {}

    @property
    def layers(self) -> set[str]:
        """The chain ids that pulls in progress count on: not to be deleted now."""
        return {layer.chain_id for found in self._active.values() for layer in found.layers}

    @property
    def blobs(self) -> set[str]:
        """The digests that pulls in progress count on."""
        return {digest for found in self._active.values() for digest in found.blobs}

    def pull(
        self, reference: str, platform: str | None = None, auth: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Pull `NAME[:TAG|@DIGEST]`, yielding Docker's progress messages.

        `auth` is the X-Registry-Auth header as it was sent. Raises a ContainerError before the
        first message or later; leaves nothing behind then, nor when the iteration is given up
        (`contextlib.aclosing` does that at once).
        """
        wanted = Reference.parse(reference).canonical
        chosen = platforms.parse(platform) if platform else None
        if (capture := self._captures.get(wanted.familiar_name)) is not None:
            _check_machine(wanted, chosen)
            return capture(wanted)
        return progress.told(lambda say: self._pull(wanted, chosen, auth, say))

    def pull_all(
        self, repository: str, platform: str | None = None, auth: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Pull every tag of a repository, one after the other; all else as `pull`."""
        wanted = Reference.parse(repository, default_tag=None)
        if wanted.suffix:
            raise InvalidParameter(f"{repository} has a tag: name the repository to pull all of it")
        if wanted.familiar_name in self._captures:
            return self.pull(repository, platform, auth)
        chosen = platforms.parse(platform) if platform else None
        return progress.told(lambda say: self._pull_all(wanted, chosen, auth, say))

    async def describe(self, reference: str, auth: str | None = None) -> "Described":
        """Return what a reference names in its registry, without pulling it."""
        from ipycontainer_runtime.engine.lookup import describe

        return await asyncio.to_thread(describe, Reference.parse(reference).canonical, auth)

    async def _pull(
        self, wanted: Reference, platform: Platform | None, auth: str | None, say: Say
    ) -> None:
        newer = await self._pull_tag(wanted, platform, auth, say)
        say(_outcome(wanted, newer=newer))

    async def _pull_all(
        self, wanted: Reference, platform: Platform | None, auth: str | None, say: Say
    ) -> None:
        from ipycontainer_runtime.engine.lookup import tags

        newer = False
        found = await self._first(wanted, auth, say, lambda s: asyncio.to_thread(tags, s, wanted))
        for tag in found:
            newer |= await self._pull_tag(wanted.with_tag(tag), platform, auth, say)
        say(_outcome(wanted, newer=newer))

    async def _pull_tag(
        self, wanted: Reference, platform: Platform | None, auth: str | None, say: Say
    ) -> bool:
        """Pull one image and tell of it; return whether it was not here under this name."""
        before = self._image_store.find(wanted.full)

        async def pull(source: "Source") -> ImageRecord:
            return await self._pull_from(source, wanted, platform, say)

        record = await self._first(wanted, auth, say, pull)
        attributes = {**(record.config.defaults.labels or {}), "name": wanted.familiar_name}
        self._events.publish("image", "pull", wanted.familiar, attributes)
        return before is None or before.id != record.id

    async def _first(
        self,
        wanted: Reference,
        auth: str | None,
        say: Say,
        work: "Callable[[Source], Awaitable[T]]",
    ) -> T:
        """Do it with the first registry that can; all but the last are mirrors, and may fail."""
        from ipycontainer_runtime.engine.lookup import sources

        for source in sources(wanted, auth):
            try:
                return await work(source)
            except ContainerError as error:
                if not source.mirror:
                    raise
                say(progress.status(f"The mirror {source.domain} is passed over: {error}"))
        raise AssertionError("the registry in the name itself is always among them")

    async def _pull_from(
        self, source: "Source", wanted: Reference, platform: Platform | None, say: Say
    ) -> ImageRecord:
        from ipycontainer_runtime.engine.lookup import look

        found = await asyncio.to_thread(look, source, wanted, platform, self._stores.blobs)
        say(progress.status(f"Pulling from {wanted.path}", wanted.digest or wanted.tag))
        with found.registry:
            record = await self._obtain(wanted, found, say)
        say(progress.status(f"Digest: {found.resolved.named.digest}"))
        return record

    async def _obtain(self, wanted: Reference, found: "Found", say: Say) -> ImageRecord:
        """Fetch what is missing of an image and name it; on failure undo what was fetched."""
        try:
            with self._counting_on(found):
                await self._fetch(wanted, found, say)
                references = [wanted, wanted.with_digest(found.resolved.named.digest)]
                return self._image_store.add(found.resolved.chosen.descriptor, references)
        except BaseException:
            await self._clean(found)
            raise

    @contextmanager
    def _counting_on(self, found: "Found") -> Iterator[None]:
        """Keep other pulls' failures, and removals, from taking this image's parts away."""
        key = object()
        self._active[key] = found
        try:
            yield
        finally:
            del self._active[key]

    async def _fetch(self, wanted: Reference, found: "Found", say: Say) -> None:
        """Return once every part of an image is here; the caller names it without waiting."""
        from ipycontainer_runtime.engine.lookup import Download

        while not self._complete(found):
            await self._transfers.fetch(
                found.layers, lambda blob: Download(found.registry, wanted.path, blob), say
            )
            for digest, content in found.documents:
                await asyncio.to_thread(self._put, digest, content)
            # Around again: while this waited, the removal of an image may have taken a part away.

    def _put(self, digest: str, content: bytes) -> None:
        with self._stores.blobs.writer(digest, len(content)) as writer:
            writer.write(content)
            writer.commit()

    def _complete(self, found: "Found") -> bool:
        return all(map(self._stores.blobs.has, found.blobs)) and all(
            map(self._stores.has, found.layers)
        )

    async def _clean(self, found: "Found") -> None:
        """Delete what was fetched of an image and belongs to no other image, pull or container."""
        records = self._image_store.list()
        others = list(self._active.values())
        used = self._image_store.used()
        blobs = found.blobs.difference(used, self._kept(), *(other.blobs for other in others))
        kept = {*self._held(), *self.layers, *(c for r in records for c in r.chain_ids)}
        chains = [layer.chain_id for layer in found.layers if layer.chain_id not in kept]
        await asyncio.to_thread(self._delete, blobs, chains)

    def _delete(self, blobs: set[str], chains: list[str]) -> None:
        for digest in blobs:
            self._stores.blobs.delete(digest)
        for chain_id in reversed(chains):
            self._stores.layers.remove(chain_id)
        self._stores.layers.trash.empty()


def _check_machine(wanted: Reference, platform: Platform | None) -> None:
    """Refuse a capture for another platform: it would be an image of this one under its name."""
    host = platforms.host()
    if platform is not None and not platforms.matches(platform, host):
        raise NotFound(
            f"no matching manifest for {platform}: {wanted.familiar_name} is captured from this"
            f" machine, which is {host}"
        )


def _outcome(wanted: Reference, *, newer: bool) -> Progress:
    verb = "Downloaded newer image for" if newer else "Image is up to date for"
    return progress.status(f"Status: {verb} {wanted.familiar}")
