"""One layer from the network to the disk in a single pass.

compressed chunks → blob (sha256, size) → inflate → sha256 (diff id) → untar into a staging folder.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.untar import DEFAULT_LIMITS, Limits
from ipycontainer_runtime.store.blobs import BlobWriter, Stored
from ipycontainer_runtime.store.layers import Staging


class Applied(NamedTuple):
    """A layer that was unpacked into its staging folder and verified."""

    blob: Stored | None
    diff_id: str
    size: int
    """Bytes of its files."""
    implicit: tuple[str, ...]
    """Folders that the archive did not name; `finish` gives them the lower layers' attributes."""


def apply(
    chunks: Iterable[bytes],
    staging: Staging,
    *,
    ownership: Ownership,
    diff_id: str | None = None,
    blob: BlobWriter | None = None,
    progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Applied:
    """Unpack a layer as it arrives, on the calling thread and one more; both end before it returns.

    `chunks` are compressed bytes (gzip, zstd or plain, told apart by their content). `blob` takes
    them and is committed at the end, after its digest and size were checked; without it the layer
    comes from a blob that is here already. `diff_id` is what the uncompressed bytes must hash to.
    `progress` is called with the number of compressed bytes taken so far. Corrupt when anything
    does not match, breaks its format or its bounds; then nothing was committed.
    """
    raise NotImplementedError


def finish(staging: Staging, applied: Applied, chain_id: str, lowers: Sequence[Path]) -> Path:
    """Commit an unpacked layer under its chain id and return its folder.

    `lowers` are the folders of the layers below, uppermost first; they must be unpacked by now.
    """
    raise NotImplementedError
