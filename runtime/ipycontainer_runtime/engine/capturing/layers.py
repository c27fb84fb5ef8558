"""A plan's layers in the store: those that are there already are found, the others written."""

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from ipycontainer_runtime.capture.plan import LOCK, Part, Plan
from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.capturing import archive
from ipycontainer_runtime.engine.garbage import Made
from ipycontainer_runtime.engine.progress import Pace, Say
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.engine.unpacking import Local
from ipycontainer_runtime.layers.apply import apply, finish
from ipycontainer_runtime.layers.diff import write_archive
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.captured import Captured, Kept
from ipycontainer_runtime.store.layers import LayerInfo, LayerStore


class GivenUp(Exception):  # noqa: N818 - nobody waits for it: it ends a thread whose client left
    """The client went away."""


_UNWRITTEN = Kept("", 0, "", "")


class Stores(NamedTuple):
    """Where layers go: as blobs, unpacked, and remembered."""

    blobs: BlobStore
    layers: LayerStore
    captured: Captured
    ownership: Ownership


@dataclass
class Written:
    """A layer of the image, and whether it was there before."""

    part: Part
    layer: Kept
    reused: bool


@dataclass
class Writing:
    """One capture's layers on their way, on a thread of its own."""

    stores: Stores
    made: Made
    say: Say
    given_up: threading.Event = field(default_factory=threading.Event)
    written: list[Written] = field(default_factory=list)

    def run(self, plan: Plan) -> list[Written]:
        """Find or write every layer; GivenUp once `given_up` is set."""
        for part in with_lock(plan, self.stores):
            self.written.append(self._layer(part))
        kept = {done.part.fingerprint: done.layer for done in self.written}
        self.stores.captured.keep(kept, plan.libraries)
        return self.written

    def foreseen(self, plan: Plan) -> list[Written]:
        """Return what `run` would do; a layer that would be written has no digest yet."""
        layers = [(part, self.known(part)) for part in with_lock(plan, self.stores)]
        return [Written(p, layer or _UNWRITTEN, layer is not None) for p, layer in layers]

    def _layer(self, part: Part) -> Written:
        layer = self.known(part)
        if layer is None:
            return Written(part, self._write(part), False)
        self._unpack(layer)
        self.say(progress.layer("Already exists", part.name))
        return Written(part, layer, True)

    def known(self, part: Part) -> Kept | None:
        """Return the layer that was made of this part, if it is still here."""
        layer = self.stores.captured.layer(part.fingerprint)
        if layer is None:
            return None
        self.made.blobs.add(layer.digest)  # first, so that it stays
        return layer if self.stores.blobs.has(layer.digest) else None

    def _chain(self, diff_id: str) -> tuple[str, list[str]]:
        """Return the chain id of the next layer, and of those below it."""
        below = [done.layer.diff_id for done in self.written]
        *lower, own = model.chain_ids([*below, diff_id])
        return own, lower

    def _unpack(self, layer: Kept) -> None:
        """Unpack a layer from its blob where it stands on others than before."""
        chain_id, below = self._chain(layer.diff_id)
        self.made.layers.add(chain_id)
        if self.stores.layers.has(chain_id):
            return
        with self.stores.layers.staging() as staging:
            source = Local(self.stores.blobs.path(layer.digest))
            applied = apply(source, staging, ownership=self.stores.ownership, diff_id=layer.diff_id)
            lowers = [self.stores.layers.diff(chain) for chain in reversed(below)]
            finish(staging, applied, chain_id, lowers)

    def _write(self, part: Part) -> Kept:
        reading = _Reading(part, self.say, self.given_up)

        def fill(tar: TarWriter) -> None:
            archive.write(part.tree, tar, reading.add)
            tar.close()

        with self.stores.blobs.writer() as blob, self.stores.layers.staging() as staging:
            packed = write_archive(
                fill, blob=blob, staging=staging, ownership=self.stores.ownership
            )
            self.made.blobs.add(packed.blob.digest)
            chain_id, _ = self._chain(packed.diff_id)
            self.made.layers.add(chain_id)
            staging.commit(chain_id, LayerInfo(packed.diff_id, packed.size))
        self.say(progress.layer("Capture complete", part.name))
        created = rfc3339(time.time_ns())
        stored, carries = packed.blob, part.carries
        return Kept(stored.digest, stored.size, packed.diff_id, created, carries)


class _Reading:
    """Counts the bytes read of a part, tells of them, and ends a capture that was given up."""

    def __init__(self, part: Part, say: Say, given_up: threading.Event) -> None:
        self._name, self._total = part.name, max(part.tree.size, 1)
        self._say, self._given_up = say, given_up
        self._done, self._pace = 0, Pace()

    def add(self, count: int) -> None:
        if self._given_up.is_set():
            raise GivenUp
        self._done += count
        if self._pace.due():
            self._say(progress.layer("Capturing", self._name, self._done, self._total))


def with_lock(plan: Plan, stores: Stores) -> list[Part]:
    """Return the plan's parts, one of which carries the lock's files.

    It is the uppermost of those with distributions where that is written anyway, so that a new
    distribution and the lock that names it are one layer; otherwise the lock has one of its own.
    """
    *_, (position, last) = [(i, p) for i, p in enumerate(plan.parts) if not p.is_code]
    files = plan.lock_files()
    digest = hashlib.sha256(files.fingerprint().encode()).hexdigest()
    known = stores.captured.layer(last.fingerprint)
    if known is None or not stores.blobs.has(known.digest):
        last.tree.join(files)
        last.carries = digest
    elif known.carries != digest:
        own = Part(LOCK, "the lock: pylock.toml and requirements.txt", files)
        own.fingerprint = f"{LOCK}-{digest}"
        return [*plan.parts[: position + 1], own, *plan.parts[position + 1 :]]
    return plan.parts
