"""The images that a build stands on: each is found or pulled once, for whoever wants it first."""

import asyncio
from typing import TYPE_CHECKING

from ipycontainer_runtime.credentials.login import domain, encode_header
from ipycontainer_runtime.engine.building.output import Output, Step
from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.images import ImageRecord

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.builds import Builds


class Bases:
    """The images of one build; `held_layers` and `held_blobs` must stay until it has ended."""

    def __init__(self, builds: "Builds", request: BuildRequest, output: Output) -> None:
        self._builds = builds
        self._request = request
        self._output = output
        self._images: dict[tuple[str, str], asyncio.Task[ImageRecord]] = {}

    @property
    def tasks(self) -> list["asyncio.Task[ImageRecord]"]:
        """What was begun to have them."""
        return list(self._images.values())

    @property
    def _records(self) -> list[ImageRecord]:
        tasks = self._images.values()
        return [t.result() for t in tasks if t.done() and not t.cancelled() and not t.exception()]

    @property
    def held_layers(self) -> set[str]:
        """Their layers."""
        return {chain for record in self._records for chain in record.chain_ids}

    @property
    def held_blobs(self) -> set[str]:
        """Their blobs."""
        return {digest for record in self._records for digest in record.blobs}

    def want(
        self, name: str, platform: Platform | None, step: Step | None = None
    ) -> "asyncio.Task[ImageRecord]":
        """Begin to have an image, unless that is begun; its pull is told as a step's."""
        key = (name, str(platform or self._request.platform))
        if key not in self._images:
            self._images[key] = asyncio.create_task(self._obtain(name, key[1], step))
        return self._images[key]

    async def image(self, name: str, platform: Platform | None = None) -> ImageRecord:
        """Return an image once it is here."""
        return await asyncio.shield(self.want(name, platform))

    async def _obtain(self, name: str, platform: str, step: Step | None) -> ImageRecord:
        """Return an image of the store, pulled where it is missing or `pull` was asked for."""
        store, wanted = self._builds.image_store, platforms.parse(platform) if platform else None
        found = store.find(name)
        fits = found is not None and (
            wanted is None or platforms.matches(wanted, found.config.platform)
        )
        if found is not None and fits and not self._request.pull:
            return found
        reference = Reference.parse(name).canonical
        pull = self._builds.pulls.pull(name, platform or None, self._credentials(reference))
        async for message in pull:
            if step is not None:
                self._output.pulled(step, message)
        return store.resolve(reference.full)

    def _credentials(self, reference: Reference) -> str | None:
        """Return X-Registry-Auth for one registry of X-Registry-Config."""
        for name, given in self._request.auth.items():
            if given and domain(name) == domain(reference.domain):
                return encode_header(given)
        return None
