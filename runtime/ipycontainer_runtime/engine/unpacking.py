"""One layer's way into the store, as it runs on a thread of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.progress import Pace, Say
from ipycontainer_runtime.layers.apply import Applied, apply, finish
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.oci.model import Descriptor
from ipycontainer_runtime.store.blobs import BlobStore, BlobWriter
from ipycontainer_runtime.store.layers import LayerStore, Staging

_CHUNK = 256 << 10


class Layer(NamedTuple):
    """One layer of an image that is being pulled; `below` are the chain ids under it."""

    descriptor: Descriptor
    diff_id: str
    chain_id: str
    below: tuple[str, ...]

    @property
    def short(self) -> str:
        """What progress messages call it."""
        return progress.short(self.descriptor.digest)


class Source(Protocol):
    """A layer's compressed bytes as they come; `registry.blobs.Download` is one."""

    def __iter__(self) -> Iterator[bytes]: ...

    def cancel(self) -> None:
        """Make the iteration end or raise soon; called from another thread."""
        ...


class Local:
    """A blob that is in the store already, as a source."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stopped = False

    def cancel(self) -> None:
        """End the iteration; the blob's digest will not match, so nothing is kept."""
        self._stopped = True

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb", buffering=0) as file:
            while not self._stopped and (chunk := file.read(_CHUNK)):
                yield chunk


class Stores(NamedTuple):
    """Where a layer goes: as it came, and unpacked with ids as they are on disk."""

    blobs: BlobStore
    layers: LayerStore
    ownership: Ownership

    def has(self, layer: Layer) -> bool:
        """Tell whether a layer is here, both as it came and unpacked."""
        return self.blobs.has(layer.descriptor.digest) and self.layers.has(layer.chain_id)


class Staged(NamedTuple):
    """A layer that is unpacked and verified, and waits for the layers below it."""

    staging: Staging
    applied: Applied


class Unpacking:
    """Fetches and unpacks one layer; what fails, or is stopped, leaves no trace."""

    def __init__(self, layer: Layer, source: Source, stores: Stores, tell: Say) -> None:
        self._layer = layer
        self._source = source
        self._stores = stores
        self._tell = tell
        self._pace = Pace()

    def stop(self) -> None:
        """Make `run` raise soon; called from another thread."""
        self._source.cancel()

    def run(self) -> Staged | None:
        """Do it; None where the layer was unpacked before and lacked its blob alone."""
        descriptor = self._layer.descriptor
        if isinstance(self._source, Local):
            return self._unpack(None)
        with self._stores.blobs.writer(descriptor.digest, descriptor.size) as writer:
            if not self._stores.layers.has(self._layer.chain_id):
                return self._unpack(writer)
            for chunk in self._source:
                writer.write(chunk)
                self._progress(writer.size)
            writer.commit()
        return None

    def commit(self, staged: Staged) -> None:
        """Name the layer; those below it are there by now."""
        lowers = [self._stores.layers.diff(chain) for chain in reversed(self._layer.below)]
        finish(staged.staging, staged.applied, self._layer.chain_id, lowers)

    def _unpack(self, writer: BlobWriter | None) -> Staged:
        staging = self._stores.layers.staging()
        try:
            applied = apply(
                self._source,
                staging,
                ownership=self._stores.ownership,
                diff_id=self._layer.diff_id,
                blob=writer,
                progress=self._progress,
            )
        except BaseException:
            staging.close()
            raise
        return Staged(staging, applied)

    def _progress(self, done: int) -> None:
        name, total = self._layer.short, self._layer.descriptor.size
        if done >= total:
            self._tell(progress.layer("Downloading", name, total, total))
            self._tell(progress.layer("Verifying Checksum", name))
            self._tell(progress.layer("Download complete", name))
            self._tell(progress.layer("Extracting", name, total, total))
        elif self._pace.due():
            self._tell(progress.layer("Downloading", name, done, total))
