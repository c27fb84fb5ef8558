"""Blobs by digest, as `images/blobs/sha256/…` of an OCI image layout. Present means whole."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from ipycontainer_runtime.errors import Corrupt, NotFound, Unavailable, shortage
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.private import make_private

# What is read whole into memory is a manifest or a config, never a layer.
DEFAULT_LIMIT = 4 << 20


class Stored(NamedTuple):
    """What was written: its digest and its size in bytes."""

    digest: str
    size: int


class BlobStore:
    """Content that is written once, by digest, under the data root `root`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "images" / "blobs"
        self.ingest = root / "ingest"
        for folder in (self.folder.parent, self.ingest):
            make_private(folder)
        (self.folder / "sha256").mkdir(parents=True, exist_ok=True)
        # Left by an engine that was killed; the data root's lock says that nobody writes them now.
        for left in self.ingest.iterdir():
            left.unlink()

    def path(self, digest: str) -> Path:
        """Return where a blob is or would be."""
        algorithm, _, hexadecimal = digests.validate(digest).partition(":")
        return self.folder / algorithm / hexadecimal

    def has(self, digest: str) -> bool:
        """Tell whether a blob is here, and so whole."""
        return self.path(digest).exists()

    def size(self, digest: str) -> int:
        """Return a blob's size in bytes."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def read(self, digest: str, limit: int = DEFAULT_LIMIT) -> bytes:
        """Return a small blob whole; Corrupt when it has more than `limit` bytes."""
        with self.open(digest) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise Corrupt(f"the blob {digest} has more than the {limit} bytes it may have here")
        return content

    def writer(self, digest: str | None = None, size: int | None = None) -> "BlobWriter":
        """Return a writer of a new blob, which must have this digest and size where given."""
        return BlobWriter(self, digest and digests.validate(digest), size)

    def put(self, content: bytes) -> Stored:
        """Store `content`; that it is there already is success."""
        digest = digests.of(content)
        if not self.has(digest):
            with self.writer(digest, len(content)) as writer:
                writer.write(content)
                writer.commit()
        return Stored(digest, len(content))

    def delete(self, digest: str) -> None:
        """Remove a blob; that it is gone already is success."""
        self.path(digest).unlink(missing_ok=True)

    def all(self) -> Iterator[str]:
        """Yield the digest of every blob."""
        for algorithm in self.folder.iterdir():
            for blob in algorithm.iterdir():
                if digests.is_digest(digest := f"{algorithm.name}:{blob.name}"):
                    yield digest


class BlobWriter:
    """One blob being written: hashed on the way, named only once it is whole and durable.

    Used as a context manager: what was not committed when it ends is removed.
    """

    def __init__(self, store: BlobStore, digest: str | None, size: int | None) -> None:
        self._store = store
        self._expected = digest
        self._expected_size = size
        self._hash = hashlib.new(digests.algorithm_of(digest) if digest else "sha256")
        self.size = 0
        self._path: Path | None = store.ingest / secrets.token_hex(16)
        self._file: BinaryIO = self._path.open("xb", buffering=0)

    def write(self, chunk: bytes | memoryview) -> int:
        """Append a chunk; Corrupt as soon as there is more than was declared."""
        self.size += len(chunk)
        if self._expected_size is not None and self.size > self._expected_size:
            raise Corrupt(
                f"{self._name} has more than the {self._expected_size} bytes that were declared"
            )
        self._hash.update(chunk)
        left = memoryview(chunk)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise disk_error(error, f"cannot write {self._name}") from error
        return len(chunk)

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    @property
    def _name(self) -> str:
        return f"the blob {self._expected}" if self._expected else "a blob"

    def commit(self) -> Stored:
        """Check size and digest, make it durable, give it its name; nothing can fail after that."""
        if self._expected_size is not None and self.size != self._expected_size:
            raise Corrupt(
                f"{self._name} has {self.size} bytes where {self._expected_size} were declared"
            )
        digest = self.digest
        if self._expected is not None and digest != self._expected:
            raise Corrupt(f"{self._name} has other content: its digest is {digest}")
        assert self._path is not None, "a blob is committed once"
        target = self._store.path(digest)
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            target.parent.mkdir(exist_ok=True)
            self._path.rename(target)
            self._path = None
            atomic.sync_folder(target.parent)
        except OSError as error:
            raise disk_error(error, f"cannot store {self._name}") from error
        return Stored(digest, self.size)

    def close(self) -> None:
        """Remove what was not committed."""
        self._file.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._path = None

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def disk_error(error: OSError, doing: str) -> Unavailable:
    """Return what a failed write on the data root's disk means to a person."""
    if (short := shortage(error, doing)) is not None:
        return short
    name = f" {error.filename!s}" if error.filename else ""
    if error.errno == errno.ENAMETOOLONG:  # on whatever disk
        return Unavailable(f"{doing}:{name[:200]} {error.strerror}: give it a shorter one")
    return Unavailable(f"{doing}:{name} {error.strerror}; set IPYCONTAINER_ROOT to another disk")


def _missing(digest: str) -> NotFound:
    return NotFound(f"no blob {digest} in the store: pull its image again")
