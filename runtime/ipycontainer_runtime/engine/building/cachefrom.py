"""--cache-from: the steps that an image, which the person named, proves by its own history.

A step is proven when the image's layers begin with those that the build has so far, its history
with the same words, and it goes on with the words of the step. Words of COPY hold the digest of
what is copied, so it is the content that is compared.
"""

from collections.abc import Sequence

from ipycontainer_runtime.engine.building.cache import Record
from ipycontainer_runtime.engine.building.state import State
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.store.images import ImageRecord


class Proven:
    """The images that were named."""

    def __init__(self, images: Sequence[ImageRecord] = ()) -> None:
        self._images = images

    def find(self, before: State, told: str) -> Record | None:
        """Return what an image proves that a step makes; all layers of `before` are known."""
        for image in self._images:
            record = _proven(image, before, told)
            if record is not None:
                return record
        return None


def _proven(image: ImageRecord, before: State, told: str) -> Record | None:
    steps = image.config.history or ()
    at = len(before.history)
    if len(steps) <= at or steps[at].created_by != told:
        return None
    if any(
        (ours.created_by, ours.empty_layer) != (theirs.created_by, theirs.empty_layer)
        for ours, theirs in zip(before.history, steps, strict=False)
    ):
        return None
    diff_ids = image.config.rootfs.diff_ids
    count = len(before.stack)
    if tuple(layer.finished.result().diff_id for layer in before.stack) != diff_ids[:count]:
        return None
    created = steps[at].created or image.created
    if steps[at].empty_layer:
        return Record(created=created, step=told)
    if len(diff_ids) <= count or len(image.manifest.layers) <= count:
        return None
    blob = image.manifest.layers[count]
    return Record(
        created=created,
        step=told,
        diff_id=diff_ids[count],
        chain_id=image.chain_ids[count],
        blob=model.Descriptor(blob.media_type, blob.digest, blob.size),
    )
