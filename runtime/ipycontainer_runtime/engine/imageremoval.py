"""Removing an image: names first, content when the last name goes, parents that nobody needs.

The rules and the messages are Docker's (moby, daemon/images/image_delete.go). A *hard* conflict
(a running container, an image committed from this one) stands even against force; a *soft* one
(a stopped container, further names) yields to it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.errors import Conflict
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore

Report = list[dict[str, str]]


class Use(NamedTuple):
    """A container that was made from an image."""

    container: str
    running: bool


InUse = Callable[[str], Iterable[Use]]
"""Answers which containers were made from the image with this id."""

Held = Callable[[], Iterable[str]]
"""Answers on which layers, by chain id, containers and pulls stand; or which blobs are needed."""


class _Hindrance(NamedTuple):
    reason: str
    hard: bool
    used: bool


@dataclass(frozen=True)
class Removal:
    """Removes images from the store; runs on the engine's event loop without waiting."""

    image_store: ImageStore
    layers: LayerStore
    events: Events
    in_use: InUse
    held: Held
    kept: Held
    """Which blobs, by digest, those need who make an image or save one."""

    def remove(self, name: str, *, force: bool, prune: bool) -> Report:
        """Take the name away, or with an id every name, and what then has none."""
        record = self.image_store.resolve(name)
        report: Report = []
        if _is_id(record.id, name):
            self._untag_all(record, name, report, force=force)
            self._delete(record.id, report, force=force, prune=prune, quiet=False)
        elif self._untag_one(record, name, report, force=force):
            self._delete(record.id, report, force=force, prune=prune, quiet=True)
        return report

    def _untag_all(self, record: ImageRecord, name: str, report: Report, *, force: bool) -> None:
        """Take every name from an image given by id, unless that is a choice to be made."""
        if not _single(record.references):
            return
        self._raise(
            record, [h for h in self._hindrances(record) if h.hard or (h.used and not force)]
        )
        for reference in record.references:
            self._untag(record, reference, report)

    def _untag_one(self, record: ImageRecord, name: str, report: Report, *, force: bool) -> bool:
        """Take one name away; tell whether it was the last."""
        users = list(self.in_use(record.id))
        if users and not force and _single(record.references):
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - '
                f"container {users[0].container[:12]} is using its referenced image "
                f"{_short(record.id)}"
            )
        removed = Reference.parse(name).canonical
        self._untag(record, removed, report)
        left = self.image_store.resolve(record.id).references
        if not removed.digest and not any(r.name == removed.name and not r.digest for r in left):
            for reference in left:
                if reference.name == removed.name:
                    self._untag(record, reference, report)
        return not self.image_store.resolve(record.id).references

    def _untag(self, record: ImageRecord, reference: Reference, report: Report) -> None:
        self.image_store.untag(reference)
        report.append({"Untagged": reference.familiar})
        self._publish(record, "untag")

    def _delete(
        self, image_id: str, report: Report, *, force: bool, prune: bool, quiet: bool
    ) -> None:
        record = self.image_store.resolve(image_id)
        hindrances = [h for h in self._hindrances(record) if h.hard or not force]
        if hindrances and quiet and (not self._dangling(record) or hindrances[0].used):
            return
        self._raise(record, hindrances)
        for reference in record.references:
            self._untag(record, reference, report)
        self._forget(record, report)
        if prune and record.parent and self.image_store.find(record.parent) is not None:
            self._delete(record.parent, report, force=False, prune=True, quiet=True)

    def _forget(self, record: ImageRecord, report: Report) -> None:
        freed = self.image_store.remove(record, set(self.kept())).chain_ids
        report.append({"Deleted": record.id})
        self._publish(record, "delete")
        held = set(self.held())
        for chain_id in reversed(freed):
            if chain_id not in held:
                self.layers.remove(chain_id)
                report.append({"Deleted": chain_id})

    def _hindrances(self, record: ImageRecord) -> list[_Hindrance]:
        """Return what speaks against deleting an image, in the order in which Docker looks."""
        users = list(self.in_use(record.id))
        running = [use.container[:12] for use in users if use.running]
        stopped = [use.container[:12] for use in users if not use.running]
        found = []
        if self._children(record):
            found.append(_Hindrance("image has dependent child images", True, False))
        if running:
            reason = f"image is being used by running container {running[0]}"
            found.append(_Hindrance(reason, True, True))
        if record.references:
            reason = "image is referenced in multiple repositories"
            found.append(_Hindrance(reason, False, False))
        if stopped:
            reason = f"image is being used by stopped container {stopped[0]}"
            found.append(_Hindrance(reason, False, True))
        return found

    def _raise(self, record: ImageRecord, hindrances: list[_Hindrance]) -> None:
        if hindrances:
            first = hindrances[0]
            forced = "cannot be forced" if first.hard else "must be forced"
            raise Conflict(
                f"conflict: unable to delete {_short(record.id)} ({forced}) - {first.reason}"
            )

    def _children(self, record: ImageRecord) -> bool:
        return any(other.parent == record.id for other in self.image_store.list())

    def _dangling(self, record: ImageRecord) -> bool:
        return not record.references and not self._children(record)

    def _publish(self, record: ImageRecord, action: str) -> None:
        # Docker looks for an image's labels when it tells, and a deleted one has none any more.
        labels = record.config.defaults.labels or {} if action == "untag" else {}
        self.events.publish("image", action, record.id, {**labels, "name": record.id})


def _single(references: Iterable[Reference]) -> bool:
    """Tell whether an image has at most one tag, and digests of that same repository only."""
    every = list(references)
    tags = [r.name for r in every if not r.digest]
    by_digest = {r.name for r in every if r.digest}
    if len(every) <= 1:
        return True
    if len(tags) > 1:
        return False
    return by_digest == {tags[0] if tags else every[0].name}


def _is_id(image_id: str, name: str) -> bool:
    return image_id.startswith(name) or digests.hex_of(image_id).startswith(name)


def _short(image_id: str) -> str:
    return digests.hex_of(image_id)[:12]
