"""What a container changed: the overlay's upper folder as a list, and as a layer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.layers.compression import GZIP
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.store.blobs import BlobWriter, Stored
from ipycontainer_runtime.store.layers import Staging

MODIFIED, ADDED, DELETED = 0, 1, 2


class Change(NamedTuple):
    """One line of `docker diff`: an absolute path and 0 modified, 1 added or 2 deleted."""

    path: str
    kind: int


class Packed(NamedTuple):
    """A layer that was written: its blob and what a manifest and a config say of it."""

    blob: Stored
    media_type: str
    diff_id: str
    size: int
    """Bytes of its files."""


def changes(upper: Path, lowers: Sequence[Path], ownership: Ownership) -> Iterator[Change]:
    """Yield what changed in `upper` against `lowers` (uppermost first), sorted by path."""
    raise NotImplementedError


def write_layer(
    upper: Path,
    *,
    blob: BlobWriter,
    staging: Staging,
    ownership: Ownership,
    compression: str = GZIP,
) -> Packed:
    """Write `upper` as a compressed OCI layer into `blob`, commit it, and copy it into `staging`.

    The caller then commits `staging` under the chain id (`LayerInfo(diff_id, size)`). Both get the
    same bytes though the container may go on writing. Files are read once.
    """
    raise NotImplementedError
