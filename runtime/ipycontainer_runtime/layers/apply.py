"""One layer from the network to the disk in a single pass.

compressed chunks → blob (sha256, size) → inflate → sha256 (diff id) → untar into a staging folder.
Hashing and inflating run on the calling thread, making files on another: each spends nearly all
its time where the interpreter's lock is released.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.layers.beneath import open_folder
from ipycontainer_runtime.layers.bounds import inflated
from ipycontainer_runtime.layers.ownership import RECORD, Ownership
from ipycontainer_runtime.layers.pipe import Feed, Stopped, Work
from ipycontainer_runtime.layers.tarread import DEFAULT_LIMITS, Limits
from ipycontainer_runtime.layers.untar import Unpacked, is_whiteout, untar
from ipycontainer_runtime.store.blobs import BlobWriter, Stored
from ipycontainer_runtime.store.layers import LayerInfo, Staging


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
    compressed = _Compressed(chunks, blob, progress)
    plain = _Plain(compressed, limits)

    unpacking = Unpacking(staging, ownership, limits)
    with unpacking:
        for chunk in plain:
            unpacking.put(chunk)
    unpacked = unpacking.result()
    if diff_id is not None and plain.digest != diff_id:
        raise Corrupt(f"the layer has other content than {diff_id}: it hashes to {plain.digest}")
    stored = blob.commit() if blob is not None else None
    implicit = tuple(sorted(os.fsdecode(path) for path in unpacked.implicit))
    return Applied(stored, plain.digest, unpacked.size, implicit)


def finish(staging: Staging, applied: Applied, chain_id: str, lowers: Sequence[Path]) -> Path:
    """Commit an unpacked layer under its chain id and return its folder.

    `lowers` are the folders of the layers below, uppermost first; they must be unpacked by now.
    """
    fix_implicit(staging.diff, applied.implicit, lowers)
    return staging.commit(chain_id, LayerInfo(applied.diff_id, applied.size, applied.implicit))


def fix_implicit(diff: Path, implicit: Iterable[str], lowers: Sequence[Path]) -> None:
    """Give folders that an archive did not name the mode, owner and time they have below.

    An overlay shows a folder as its uppermost layer has it: without this, a layer that adds one
    file to /tmp would take away its sticky bit.
    """
    with contextlib.ExitStack() as stack:
        roots = [stack.enter_context(_opened(folder)) for folder in (diff, *lowers)]
        for path in sorted(map(os.fsencode, implicit)):
            for lower in roots[1:]:
                if _copy_status(lower, roots[0], path):
                    break
                if _hides(lower, path):
                    break


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _hides(root: int, path: bytes) -> bool:
    """Tell whether a layer has a whiteout at this path."""
    parent, _, leaf = path.rpartition(b"/")
    try:
        folder = open_folder(root, parent or b".")
    except OSError:
        return False
    try:
        return is_whiteout(os.stat(leaf, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return False
    finally:
        os.close(folder)


def _copy_status(lower: int, upper: int, path: bytes) -> bool:
    """Give the folder `path` of one layer what it has in another; False when it is none there."""
    try:
        source = open_folder(lower, path or b".")
    except OSError:
        return False
    try:
        status = os.fstat(source)
        target = open_folder(upper, path or b".")
        try:
            os.chown(target, status.st_uid, status.st_gid)
            with contextlib.suppress(OSError):  # most have none
                os.setxattr(target, RECORD, os.getxattr(source, RECORD))
            os.chmod(target, status.st_mode & 0o7777)
            os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True


class _Compressed:
    """The compressed chunks on their way: into the blob, and counted."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        blob: BlobWriter | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._chunks = chunks
        self._blob = blob
        self._progress = progress
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self._blob is not None:
                self._blob.write(chunk)
            self.size += len(chunk)
            if self._progress is not None:
                self._progress(self.size)
            yield chunk


class _Plain:
    """The inflated chunks on their way: hashed, and bounded."""

    def __init__(self, compressed: _Compressed, limits: Limits) -> None:
        self._compressed = compressed
        self._limits = limits
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def __iter__(self) -> Iterator[bytes]:
        for chunk in inflated(self._compressed, self._limits, "layer"):
            self._hash.update(chunk)
            yield chunk


class Unpacking:
    """An untar on a thread of its own, fed by `put`; used as a context manager."""

    def __init__(self, staging: Staging, ownership: Ownership, limits: Limits) -> None:
        self._feed = Feed()
        self._unpacked: list[Unpacked] = []

        def work() -> None:
            try:
                self._unpacked.append(
                    untar(
                        self._feed,
                        staging.diff,
                        ownership=ownership,
                        trash=staging.trash,
                        limits=limits,
                    )
                )
            finally:
                self._feed.stop()

        self._work = Work("untar", work)

    def put(self, chunk: bytes) -> None:
        """Give the next bytes of the archive; Stopped when the untar has failed."""
        self._feed.put(chunk)

    def result(self) -> Unpacked:
        """Return what was unpacked, or raise what went wrong."""
        self._work.result()
        return self._unpacked[0]

    def __enter__(self) -> "Unpacking":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._feed.end()
        self._work.join()
        # That the untar stopped us is no error here: `result` has the one that stopped it.
        return isinstance(error, Stopped)
