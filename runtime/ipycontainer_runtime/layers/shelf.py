"""An image archive on its way into the store: every member becomes a blob as it arrives.

No name in the archive ever becomes a path on disk. What is called by its digest must have it.
Other members are called as older writers called them: a config or a compressed layer is stored as
it came, a plain layer as the gzip of it, which is what would be pushed.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.layers.bounds import inflated
from ipycontainer_runtime.layers.compression import GZIP, ZSTD, compressor, sniff
from ipycontainer_runtime.layers.tarread import (
    FOLDER,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    Entry,
    Limits,
    TarReader,
)
from ipycontainer_runtime.layers.untar import clean
from ipycontainer_runtime.oci.archive import DOCUMENTS, REPOSITORIES, digest_of_member
from ipycontainer_runtime.oci.model import MAX_DOCUMENT
from ipycontainer_runtime.store.blobs import BlobStore

# An image has 499 layers at most, and an archive of hundreds of images is none that people make.
LIMITS = Limits(entries=100_000)
# `a/layer.tar` may be a link to `b/layer.tar`, as Docker's engine wrote what two images share.
_MOST_LINKS = 16
_HEAD = 512
_STORED = frozenset({GZIP, ZSTD})
# What Docker's engines before 1.10 looked for, and newer ones wrote for their sake.
_OF_OLD = frozenset({"VERSION", "json", REPOSITORIES})


class Member(NamedTuple):
    """A member of the archive, as a blob of the store."""

    digest: str
    size: int
    compression: str
    diff_id: str = ""
    """The digest of what it holds uncompressed, where that was seen on the way."""


class Shelf:
    """What an archive holds. `made` is told each blob's digest before the blob is there."""

    def __init__(self, blobs: BlobStore, made: Callable[[str], None]) -> None:
        self._blobs = blobs
        self._made = made
        self._members: dict[str, Member] = {}
        self._links: dict[str, str] = {}
        self.documents: dict[str, bytes] = {}

    def fill(self, chunks: Iterable[bytes], limits: Limits = LIMITS) -> None:
        """Take an archive, plain or compressed, to its end; Corrupt when malformed or hostile."""
        reader = TarReader(inflated(chunks, limits, "archive"), limits)
        for entry in reader.entries():
            name = clean(entry.name).decode(errors="surrogateescape")
            if entry.type == REGULAR:
                self._file(name, entry, reader)
            elif entry.type == SYMLINK:
                self._links[name] = _beside(name, entry.link)
            elif entry.type == HARD_LINK:
                self._links[name] = clean(entry.link).decode(errors="surrogateescape")
            elif entry.type != FOLDER:
                raise Corrupt(f"the archive holds {name[:200]!r}, which is no file of an image")

    def find(self, name: str) -> Member:
        """Return a member by the name that a document gives it; Corrupt when it is not there."""
        target = clean(name.encode(errors="surrogateescape")).decode(errors="surrogateescape")
        for _ in range(_MOST_LINKS):
            if target not in self._links:
                break
            target = self._links[target]
        if target not in self._members:
            raise Corrupt(f"the archive names {name[:200]!r}, which is not in it: save it again")
        return self._members[target]

    def _file(self, name: str, entry: Entry, reader: TarReader) -> None:
        if entry.holes is not None:
            raise Corrupt(f"the archive holds {name[:200]!r} as a sparse file: write it without -S")
        self._links.pop(name, None)  # as for any reader of tar, the last of two is meant
        if name in DOCUMENTS:
            if entry.size > MAX_DOCUMENT:
                raise Corrupt(f"the archive's {name} is larger than {MAX_DOCUMENT} bytes")
            self.documents[name] = b"".join(reader.content())
            return
        if name.rpartition("/")[2] in _OF_OLD:
            return
        content = map(bytes, reader.content())
        digest = digest_of_member(name)
        self._members[name] = (
            self._other(content) if digest is None else self._blob(digest, content, entry.size)
        )

    def _blob(self, digest: str, content: Iterator[bytes], size: int) -> Member:
        self._made(digest)
        head, content = _peeked(content)
        if not self._blobs.has(digest):
            with self._blobs.writer(digest, size) as writer:
                for piece in content:
                    writer.write(piece)
                writer.commit()
        return Member(digest, self._blobs.size(digest), sniff(head))

    def _other(self, content: Iterator[bytes]) -> Member:
        head, content = _peeked(content)
        kind = sniff(head)
        if kind not in _STORED and head.lstrip()[:1] not in (b"{", b"["):
            return shelve_layer(content, self._blobs, self._made)
        with self._blobs.writer() as writer:
            for piece in content:
                writer.write(piece)
            self._made(writer.digest)
            return Member(*writer.commit(), kind)


def shelve_layer(chunks: Iterable[bytes], blobs: BlobStore, made: Callable[[str], None]) -> Member:
    """Store a layer, plain or compressed in whatever way, as its gzip; `made` is told before."""
    squeezer, diff_hash = compressor(GZIP), hashlib.sha256()
    with blobs.writer() as writer:
        for chunk in inflated(chunks, LIMITS, "layer"):
            diff_hash.update(chunk)
            writer.write(squeezer.compress(chunk))
        writer.write(squeezer.flush())
        made(writer.digest)
        return Member(*writer.commit(), GZIP, f"sha256:{diff_hash.hexdigest()}")


def _beside(name: str, link: bytes) -> str:
    """Return what a symlink means: a path from its own folder, which may not leave the archive."""
    parts = name.split("/")[:-1]
    for part in link.decode(errors="surrogateescape").split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == ".." or link.startswith(b"/"):
            raise Corrupt(f"the archive's link {name[:200]!r} leads out of it")
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _peeked(content: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return how it begins, and all of it."""
    head = b""
    for piece in content:
        head += piece
        if len(head) >= _HEAD:
            break
    return head, chain([head], content)
