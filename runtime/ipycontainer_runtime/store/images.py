"""Image names and records: the `index.json` of an OCI image layout.

Each entry of the index gives one manifest one reference: a tag, a repo digest, or none (a dangling
image). The layout is valid whenever the engine is killed: an entry is added after its blobs, and
blobs are deleted after their last entry. Other tools read it: `skopeo inspect oci:FOLDER:x:1`.
"""

import contextlib
import errno
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci.archive import LAYOUT, LAYOUT_CONTENT, NAME, REF_NAME
from ipycontainer_runtime.oci.model import (
    MANIFESTS,
    OCI_INDEX,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    chain_ids,
    decode_config,
    decode_manifest,
    encode,
)
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.private import make_private
from ipycontainer_runtime.store.reserve import Reserve

# An annotation of an entry: the image it was committed from.
PARENT = "org.ipycontainer.image.parent"


@dataclass(frozen=True)
class ImageRecord:
    """One image of the store, with all its references."""

    id: str
    """The digest of its config."""
    descriptor: Descriptor
    """Of its manifest."""
    manifest: Manifest
    config: ImageConfig
    references: tuple[Reference, ...] = ()
    """Tags and repo digests, sorted."""
    parent: str = ""
    """The id of the image it was committed from; empty for a pulled one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tags as Docker shows them (`RepoTags`): `x:1`."""
        return tuple(r.familiar for r in self.references if not r.digest)

    @property
    def repo_digests(self) -> tuple[str, ...]:
        """The references by digest as Docker shows them (`RepoDigests`): `x@sha256:…`."""
        return tuple(r.familiar for r in self.references if r.digest)

    @property
    def created(self) -> str:
        """When it was made, RFC 3339, or empty."""
        return self.config.created or ""

    @cached_property
    def chain_ids(self) -> tuple[str, ...]:
        """The chain id of each layer, lowest first: the names under which they are unpacked."""
        return chain_ids(self.config.rootfs.diff_ids)

    @property
    def content_size(self) -> int:
        """Bytes of manifest, config and compressed layers; `LayerStore.total` has the unpacked."""
        return (
            self.descriptor.size
            + self.manifest.config.size
            + sum(layer.size for layer in self.manifest.layers)
        )

    @property
    def blobs(self) -> frozenset[str]:
        """The digest of every blob it consists of."""
        parts = (self.descriptor, self.manifest.config, *self.manifest.layers)
        return frozenset(part.digest for part in parts)


class Removed(NamedTuple):
    """What an image's removal freed: blobs, already deleted, and layers, for the caller."""

    blobs: tuple[str, ...]
    chain_ids: tuple[str, ...]


class _Content(NamedTuple):
    manifest: Manifest
    config: ImageConfig


class ImageStore:
    """The images under the data root `root`; the engine's event loop is the only caller."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.folder = root / "images"
        self.blobs = blobs
        self._index_path = self.folder / "index.json"
        self._reserve = Reserve(self._index_path)
        # Content by digest never changes, so what was once decoded stays so.
        self._contents: dict[str, _Content] = {}
        self._records: tuple[ImageRecord, ...] | None = None
        self.held: Callable[[], Iterable[str]] = tuple
        """Answers which blobs are needed beside those of images: the build cache's."""
        self.removed: Callable[[str], None] = _nothing
        """Called with the id of an image that was forgotten, before its blobs go."""
        make_private(self.folder)
        if not (self.folder / LAYOUT).exists():
            atomic.write(self.folder / LAYOUT, LAYOUT_CONTENT)
        if not self._index_path.exists():
            self._entries: tuple[Descriptor, ...] = ()
            self._write(())
        else:
            self._entries = self._read()
            self._reserve.keep(self._index_path.stat().st_size)

    def list(self) -> tuple[ImageRecord, ...]:
        """Return every image, newest first."""
        if self._records is None:
            self._records = self._read_records()
        return self._records

    def _read_records(self) -> tuple[ImageRecord, ...]:
        by_digest: dict[str, list[Descriptor]] = {}
        for entry in self._entries:
            by_digest.setdefault(entry.digest, []).append(entry)
        records: dict[str, ImageRecord] = {}
        for entries in by_digest.values():
            record = self._record(entries)
            if record is not None:
                # Two manifests of one config (gzip here, zstd there) are one image to Docker.
                records[record.id] = _merged(records.get(record.id), record)
        return tuple(sorted(records.values(), key=lambda r: (r.created, r.id), reverse=True))

    def resolve(self, name: str) -> ImageRecord:
        """Return the image with this id, tag, repo digest or beginning of an id, in that order.

        Raises NotFound `No such image: x:latest`, as Docker does, and InvalidParameter for what can
        be the name of no image: a client that is told 404 would try to pull it.
        """
        records = self.list()
        hexadecimal = name.removeprefix("sha256:")
        whole = f"sha256:{hexadecimal}"
        if digests.is_digest(whole):
            image_id = self._id_of_manifest(whole) or whole
            for record in records:
                if record.id == image_id:
                    return record
            raise NotFound(f"No such image: {name}")
        reference = _try_parse(name)
        if reference is not None:
            for record in records:
                if reference.canonical in record.references:
                    return record
            if reference.digest:
                # Docker knows an image by its repository and its id or manifest too.
                for record in records:
                    same = any(r.name == reference.name for r in record.references)
                    image_id = self._id_of_manifest(reference.digest) or reference.digest
                    if same and record.id == image_id:
                        return record
        if _is_hex(hexadecimal):
            short = [r for r in records if digests.hex_of(r.id).startswith(hexadecimal)]
            if len(short) == 1:
                return short[0]
        raise NotFound(f"No such image: {(reference or Reference.parse(name)).familiar}")

    def find(self, name: str) -> ImageRecord | None:
        """Return what `resolve` does, or None."""
        try:
            return self.resolve(name)
        except (NotFound, InvalidParameter):
            return None

    def add(
        self,
        manifest: Descriptor,
        references: Iterable[Reference] = (),
        *,
        parent: str = "",
    ) -> ImageRecord:
        """Add the image whose manifest, config and layers are already blobs, under `references`.

        A reference that named another image names this one from now on, in the same atomic
        rewrite; the other keeps its other names, or becomes dangling.
        """
        bare = Descriptor(manifest.media_type, manifest.digest, manifest.size)
        content = self._content(bare)
        entry = msgspec.structs.replace(
            bare,
            platform=content.config.platform,
            annotations={PARENT: parent} if parent else None,
        )
        added = [_named(entry, reference.canonical) for reference in references]
        kept = _without(self._entries, {e.annotations[NAME] for e in added if e.annotations})
        if not added and not any(e.digest == entry.digest for e in kept):
            added = [entry]
        if added:
            kept = tuple(e for e in kept if e.digest != entry.digest or _name_of(e))
        self._write((*kept, *added))
        return self.resolve(manifest.digest)

    def tag(self, record: ImageRecord, reference: Reference) -> ImageRecord:
        """Give an image one more tag, taken from whichever image had it."""
        return self.add(record.descriptor, [reference], parent=record.parent)

    def untag(self, reference: Reference) -> ImageRecord:
        """Take one reference away; the image stays, dangling if that was its last.

        Returns the image as it is afterwards; NotFound when nothing has this name.
        """
        wanted = reference.canonical.full
        entry = next((e for e in self._entries if _name_of(e) == wanted), None)
        if entry is None:
            raise NotFound(f"No such image: {reference.familiar}")
        self._shrink(_without(self._entries, {wanted}))
        return self.resolve(entry.digest)

    def remove(self, record: ImageRecord, kept: Set[str] = frozenset()) -> Removed:
        """Forget an image under all its names and delete the blobs that no other image has.

        Those that are `kept` stay for now. The layers that no other image stands on are returned,
        not deleted: containers may.
        """
        self._shrink(tuple(e for e in self._entries if self._id_of(e) != record.id))
        self.removed(record.id)
        freed = sorted(self.blobs_of(record) - self.used() - kept)
        for digest in freed:
            self.blobs.delete(digest)
            self._contents.pop(digest, None)
        chains = {chain for other in self.list() for chain in other.chain_ids}
        return Removed(tuple(freed), tuple(c for c in record.chain_ids if c not in chains))

    def unreferenced(self) -> set[str]:
        """Return the blobs that belong to no image: left by a pull or a removal that was cut."""
        return set(self.blobs.all()) - self.used()

    def used(self) -> set[str]:
        """Return the blobs that belong to images, of all their manifests, or are held otherwise."""
        used = {entry.digest for entry in self._entries}.union(self.held())
        for entry in self._entries:
            with contextlib.suppress(NotFound, Corrupt):
                used |= self._parts(entry)
        return used

    def blobs_of(self, record: ImageRecord) -> set[str]:
        """Return the blobs of an image, of all its manifests."""
        twins = [e for e in self._contents if self._contents[e].manifest.config.digest == record.id]
        layers = {layer.digest for t in twins for layer in self._contents[t].manifest.layers}
        return {*record.blobs, *twins, *layers}

    def _parts(self, entry: Descriptor) -> set[str]:
        manifest = self._content(entry).manifest
        return {manifest.config.digest, *(layer.digest for layer in manifest.layers)}

    def _id_of_manifest(self, digest: str) -> str | None:
        entry = next((e for e in self._entries if e.digest == digest), None)
        return None if entry is None else self._id_of(entry)

    def _id_of(self, entry: Descriptor) -> str | None:
        try:
            return self._content(entry).manifest.config.digest
        except (NotFound, Corrupt):
            return None

    def _record(self, entries: Sequence[Descriptor]) -> ImageRecord | None:
        """Return one manifest's image; None for another tool's entry that is no image here."""
        first = entries[0]
        if first.media_type not in MANIFESTS:
            return None
        try:
            content = self._content(first)
        except (NotFound, Corrupt):
            return None
        named = (_try_parse(name) for entry in entries if (name := _name_of(entry)))
        parents = [(entry.annotations or {}).get(PARENT, "") for entry in entries]
        return ImageRecord(
            id=content.manifest.config.digest,
            descriptor=Descriptor(first.media_type, first.digest, first.size),
            manifest=content.manifest,
            config=content.config,
            references=tuple(sorted((r for r in named if r), key=lambda r: r.full)),
            parent=next(filter(None, parents), ""),
        )

    def _content(self, manifest: Descriptor) -> _Content:
        known = self._contents.get(manifest.digest)
        if known is None:
            decoded = decode_manifest(self.blobs.read(manifest.digest), manifest.media_type)
            if not isinstance(decoded, Manifest):
                raise Corrupt(f"{manifest.digest} is an index where an image's manifest is wanted")
            config = decode_config(self.blobs.read(decoded.config.digest))
            known = self._contents[manifest.digest] = _Content(decoded, config)
        return known

    def _read(self) -> tuple[Descriptor, ...]:
        try:
            return msgspec.json.decode(self._index_path.read_bytes(), type=Index).manifests
        except msgspec.MsgspecError as error:
            raise Corrupt(
                f"{self._index_path} is malformed ({error}): restore it, or remove it to forget"
                " every image"
            ) from error

    def _write(self, entries: tuple[Descriptor, ...]) -> None:
        content = _encoded(entries)
        atomic.write(self._index_path, content)
        self._reserve.keep(len(content))
        self._take(entries)

    def _shrink(self, entries: tuple[Descriptor, ...]) -> None:
        """Write an index with less in it, which must be possible on a disk that is full."""
        try:
            self._write(entries)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            try:
                self._reserve.write(_encoded(entries))
            except FileNotFoundError:  # it was used, and the disk is still as full
                raise error from None
            self._take(entries)

    def _take(self, entries: tuple[Descriptor, ...]) -> None:
        self._entries = entries
        self._records = None


def _nothing(image: str) -> None:
    """Tell nobody until somebody asks to be told."""


def _encoded(entries: tuple[Descriptor, ...]) -> bytes:
    return encode(Index(entries, media_type=OCI_INDEX))


def _merged(known: ImageRecord | None, record: ImageRecord) -> ImageRecord:
    if known is None:
        return record
    references = sorted({*known.references, *record.references}, key=lambda r: r.full)
    return ImageRecord(
        known.id,
        known.descriptor,
        known.manifest,
        known.config,
        tuple(references),
        known.parent or record.parent,
    )


def _without(entries: tuple[Descriptor, ...], names: set[str]) -> tuple[Descriptor, ...]:
    """Take names away; a manifest that loses its last one keeps an entry without a name."""
    kept = [e for e in entries if _name_of(e) not in names]
    present = {e.digest for e in kept}
    for entry in entries:
        if entry.digest not in present:
            present.add(entry.digest)
            kept.append(_nameless(entry))
    return tuple(kept)


def _named(entry: Descriptor, reference: Reference) -> Descriptor:
    names = {NAME: reference.full, REF_NAME: reference.familiar}
    return msgspec.structs.replace(entry, annotations={**(entry.annotations or {}), **names})


def _nameless(entry: Descriptor) -> Descriptor:
    left = {k: v for k, v in (entry.annotations or {}).items() if k not in (NAME, REF_NAME)}
    return msgspec.structs.replace(entry, annotations=left or None)


def _name_of(entry: Descriptor) -> str | None:
    annotations = entry.annotations or {}
    return annotations.get(NAME) or annotations.get(REF_NAME)


def _try_parse(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except InvalidParameter:
        return None


def _is_hex(text: str) -> bool:
    return 0 < len(text) <= 64 and all(c in "0123456789abcdef" for c in text)
