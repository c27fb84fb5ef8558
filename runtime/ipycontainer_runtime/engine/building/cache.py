"""What steps made before, by everything that went into them.

A key is the digest of a step's inputs: the layers it stands on, the instruction with its variables
put in, the contents that it copies (never their times). A record names the layer that came of it,
and when. It is valid while that layer and its blob are here, and they stay here for it: nothing
else that is known of layers, no image's history above all, is ever believed (CVE-2024-24557).

A record goes with the last image that was built with it, as Docker's classic builder has it, or
with a prune. Those of a build that failed are there for the next attempt, until a prune.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.layers.snapshot import tree_size
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.layers import LayerStore
from ipycontainer_runtime.store.private import make_private


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one step made."""

    created: str
    """When, RFC 3339; it is in the image's history, so that a build from the cache is the same."""
    step: str = ""
    """The instruction in the words of the history."""
    diff_id: str = ""
    """Of the layer; empty where no file changed."""
    chain_id: str = ""
    blob: model.Descriptor | None = None
    images: list[str] = []
    """The ids of the images that were built with it."""
    used: float = 0.0
    uses: int = 0


def key(kind: str, **inputs: object) -> str:
    """Return the digest under which a step with these inputs is remembered."""
    return digests.of(msgspec.json.encode([kind, inputs], order="sorted"))


class Cache:
    """The records under the data root `root`, read when first asked; used on the event loop."""

    def __init__(self, root: Path, layers: LayerStore, blobs: BlobStore) -> None:
        self._folder = root / "build" / "cache"
        self.mounts = root / "build" / "mounts"
        """Where the cache mounts of RUN are kept."""
        self._layers = layers
        self._blobs = blobs
        self._known: dict[str, Record] | None = None

    @property
    def _records(self) -> dict[str, Record]:
        if self._known is None:
            self._known = dict(self._read())
        return self._known

    def _read(self) -> Iterator[tuple[str, Record]]:
        for file in self._folder.glob("[0-9a-f]*"):
            try:
                record = msgspec.json.decode(file.read_bytes(), type=Record)
                record.used = file.stat().st_mtime
                yield f"sha256:{file.name}", record
            except msgspec.MsgspecError:
                file.unlink(missing_ok=True)  # cut short by a crash of the machine

    def find(self, key: str) -> Record | None:
        """Return what a step with this key made, if all of it is here still."""
        record = self._records.get(key)
        if record is None or not record.diff_id:
            return record
        assert record.blob is not None, "who has a layer has its blob"
        if self._layers.has(record.chain_id) and self._blobs.has(record.blob.digest):
            return record
        self._forget(key)
        return None

    def keep(self, key: str, record: Record) -> None:
        """Remember what a step made, once its layer and its blob are whole."""
        record.used = time.time()
        self._records[key] = record
        self._write(key)

    def use(self, keys: Iterable[str], image: str) -> None:
        """Note that steps went into an image, or with an empty id into a build that failed."""
        now = time.time()
        for key in keys:
            record = self._records.get(key)
            if record is None:
                continue
            record.used = now
            record.uses += 1
            if image and image not in record.images:
                record.images.append(image)
                self._write(key)
            else:  # a build from the cache alone waits for no writing
                with contextlib.suppress(FileNotFoundError):
                    os.utime(self._folder / digests.hex_of(key))

    def _write(self, key: str) -> None:
        if not self._folder.exists():
            make_private(self._folder)
        content = msgspec.json.encode(self._records[key])
        atomic.write(self._folder / digests.hex_of(key), content, durable=False)

    def _forget(self, key: str) -> Record:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / digests.hex_of(key)).unlink()
        return self._records.pop(key)

    @property
    def layers(self) -> set[str]:
        """The chain ids that records count on."""
        return {record.chain_id for record in self._records.values() if record.chain_id}

    @property
    def blobs(self) -> set[str]:
        """The digests that records count on."""
        return {record.blob.digest for record in self._records.values() if record.blob}

    def image_gone(self, image: str) -> list[Record]:
        """Forget the steps that went into this image and no other, and return them."""
        gone: list[Record] = []
        for key, record in list(self._records.items()):
            if image in record.images:
                record.images.remove(image)
                if record.images:
                    self._write(key)
                else:
                    gone.append(self._forget(key))
        return gone

    def record(self, key: str) -> Record:
        """Return the record of a key that `items` gave."""
        return self._records[key]

    def forget(self, keys: Iterable[str]) -> None:
        """Forget records; what they alone counted on may then be deleted."""
        for key in keys:
            self._forget(key)

    def items(self) -> list[tuple[str, Record]]:
        """Return every record with its key, oldest use first."""
        return sorted(self._records.items(), key=lambda item: item[1].used)

    def shapes(self, in_images: set[str]) -> list[dict[str, Any]]:
        """Return BuildCache of GET /system/df; `in_images` are the layers that images have."""
        return [
            {
                "ID": digests.hex_of(key)[:25],
                "Type": "regular",
                "Description": record.step,
                "InUse": False,
                "Shared": record.chain_id in in_images,
                "Size": self.size(record),
                "CreatedAt": record.created,
                "LastUsedAt": rfc3339(int(record.used * 1_000_000_000)),
                "UsageCount": record.uses,
                "Parents": None,
            }
            for key, record in self.items()
        ]

    def mount_shapes(self) -> list[dict[str, Any]]:
        """Return the cache mounts of RUN, in the same shape; adds up their files, on a thread."""
        folder = self.mounts
        return [
            {
                "ID": mount.name,
                "Type": "exec.cachemount",
                "Description": "cached mount of RUN --mount=type=cache",
                "InUse": False,
                "Shared": False,
                "Size": tree_size(mount),
                "CreatedAt": rfc3339(mount.stat().st_ctime_ns),
                "LastUsedAt": rfc3339(mount.stat().st_mtime_ns),
                "UsageCount": 0,
                "Parents": None,
            }
            for mount in (folder.iterdir() if folder.exists() else ())
        ]

    def size(self, record: Record) -> int:
        """Return the bytes of a record's layer, unpacked and compressed."""
        if record.blob is None:
            return 0
        return self._layers.total([record.chain_id]) + record.blob.size
