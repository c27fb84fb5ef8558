"""The use cases of images: list, inspect, history, tag, remove."""

from collections.abc import Mapping, Sequence
from typing import Any

from ipycontainer_runtime.engine import imagelist, imageviews, sweeping
from ipycontainer_runtime.engine.activity import Background
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.imageremoval import Held, InUse, Removal, Report, Use
from ipycontainer_runtime.engine.imageviews import Version
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.reference import DEFAULT_TAG, Reference
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore

__all__ = ["Held", "Images", "InUse", "Use"]

NEWEST: Version = (1, 50)
Shapes = list[dict[str, Any]]
"""JSON objects; `list` itself is a method's name below."""


class Images:
    """The images of one engine; called on its event loop."""

    def __init__(
        self,
        *,
        image_store: ImageStore,
        layers: LayerStore,
        events: Events,
        in_use: InUse,
        held: Held,
        kept: Held,
        background: Background,
    ) -> None:
        self._store = image_store
        self._layers = layers
        self._events = events
        self._in_use = in_use
        self._background = background
        self._removal = Removal(image_store, layers, events, in_use, held, kept)

    def list(
        self,
        filters: Mapping[str, Sequence[str]] | None = None,
        *,
        show_all: bool = False,
        shared_size: bool = False,
        version: Version = NEWEST,
    ) -> Shapes:
        """Return the summaries of GET /images/json, newest first."""
        records = self._store.list()
        shown = imagelist.select(
            records, filters or {}, show_all=show_all, find=self._store.resolve
        )
        return [
            imageviews.summary(
                record,
                size=self._layers.total(record.chain_ids),
                containers=len(list(self._in_use(record.id))) if shared_size else -1,
                shared=self._shared(record, records) if shared_size else -1,
                version=version,
            )
            for record in shown
        ]

    def inspect(self, name: str, version: Version = NEWEST) -> dict[str, Any]:
        """Return GET /images/{name}/json as that version of the API has it."""
        record = self._store.resolve(name)
        chain = record.chain_ids
        folders = [self._layers.diff(c) for c in chain if self._layers.has(c)]
        size = self._layers.total(chain)
        return imageviews.inspection(record, size=size, folders=folders, version=version)

    def history(self, name: str) -> Shapes:
        """Return GET /images/{name}/history, newest step first."""
        record = self._store.resolve(name)
        sizes = [self._layers.total([chain_id]) for chain_id in record.chain_ids]
        return imageviews.history(record, sizes, imageviews.lineage(record, self._store.find))

    def tag(self, name: str, repository: str, tag: str = "") -> None:
        """Give an image another name, taken from whichever image had it."""
        record = self._store.resolve(name)
        reference = Reference.parse(repository, default_tag=None)
        if reference.digest:
            raise InvalidParameter("refusing to create a tag with a digest reference")
        reference = reference.with_tag(tag or reference.tag or DEFAULT_TAG)
        self._store.tag(record, reference)
        labels = record.config.defaults.labels or {}
        self._events.publish("image", "tag", record.id, {**labels, "name": reference.familiar})

    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> Report:
        """Untag an image; delete it when that was its last name.

        Returns Docker's `[{"Untagged": …}, {"Deleted": …}]`; raises Conflict, in Docker's words,
        where containers or other names need it. Files are deleted after the reply.
        """
        report = self._removal.remove(name, force=force, prune=prune)
        if any("Deleted" in entry for entry in report):
            self._background(sweeping.empty(self._layers.trash), "deleting layers")
        return report

    def _shared(self, record: ImageRecord, records: Sequence[ImageRecord]) -> int:
        """Return the bytes of the layers that other images stand on too."""
        others = {c for other in records if other.id != record.id for c in other.chain_ids}
        return self._layers.total([c for c in record.chain_ids if c in others])
