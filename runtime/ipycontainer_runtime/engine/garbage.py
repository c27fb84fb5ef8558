"""Blobs and layers that belong to nothing: of images that were not finished, or are gone."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ipycontainer_runtime.engine import sweeping
from ipycontainer_runtime.engine.activity import Background
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore


class Made(NamedTuple):
    """What was written for an image so far: the digests of blobs, the chain ids of layers."""

    blobs: set[str]
    layers: set[str]


class Garbage:
    """Deletes what nothing needs; used on the event loop.

    `pulled` answers which blobs pulls in progress count on, `held` on which layers containers and
    pulls stand; the disk is given back in the `background`.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        layers: LayerStore,
        image_store: ImageStore,
        pulled: Callable[[], Iterable[str]],
        held: Callable[[], Iterable[str]],
        background: Background,
    ) -> None:
        self._blobs = blobs
        self._layers = layers
        self._image_store = image_store
        self._pulled = pulled
        self._held = held
        self._background = background
        self._making: list[Made] = []
        self._left = Made(set(), set())

    @property
    def blobs(self) -> set[str]:
        """The digests that those count on who make an image now: not to be deleted."""
        # Copied at once: they are added to on other threads.
        return set().union(*(made.blobs.copy() for made in self._making), self._left.blobs)

    @property
    def layers(self) -> set[str]:
        """The chain ids that those count on who make an image now."""
        return set().union(*(made.layers.copy() for made in self._making), self._left.layers)

    @contextmanager
    def making(self) -> Iterator[Made]:
        """Give the record of what is written for an image that is named within the block.

        Whoever writes adds to it first. What is in it is kept until the end of the block, though
        an image is removed that has it too; what then belongs to no image is deleted once nobody
        makes one: two that are made at once may have made the same.
        """
        made = Made(set(), set())
        self._making.append(made)
        try:
            yield made
        finally:
            self._making = [other for other in self._making if other is not made]
            self._left.blobs.update(made.blobs)
            self._left.layers.update(made.layers)
            if not self._making:
                left, self._left = self._left, Made(set(), set())
                self._delete(left)
                self._background(sweeping.empty(self._layers.trash), "deleting what was not named")

    def sweep(self) -> None:
        """Delete all that belongs to nothing; at the start, when nobody makes an image."""
        self._delete(Made(set(self._blobs.all()), set(self._layers.all())))

    def discard(self, *, blobs: Iterable[str], layers: Iterable[str]) -> None:
        """Delete these as far as nothing needs them any more."""
        self._delete(Made(set(blobs), set(layers)))
        self._background(sweeping.empty(self._layers.trash), "deleting what nothing needs")

    def let_go(self, chain: Iterable[str]) -> None:
        """Delete the layers of a container that was removed after its image."""
        self._delete(Made(set(), set(chain)))

    def _delete(self, made: Made) -> None:
        images = self._image_store.list()
        blobs = made.blobs.difference(self._pulled(), self._image_store.used())
        layers = made.layers.difference(self._held(), *(image.chain_ids for image in images))
        if blobs:
            for digest in blobs & self._image_store.unreferenced():
                self._blobs.delete(digest)
        for chain_id in layers:
            self._layers.remove(chain_id)
