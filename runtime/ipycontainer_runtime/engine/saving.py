"""Images into one archive: an OCI layout that Docker's engines read by its `manifest.json` too.

The blobs go as they lie in the store, so an archive has the manifest that was pulled or pushed, and
its layers stay compressed: every reader of `manifest.json` tells by their first bytes.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from concurrent.futures import Future

from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage
from ipycontainer_runtime.engine.piped import Outgoing, Put, outgoing
from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.layers.tarread import REGULAR, Entry
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.oci import archive
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.archive import Archived
from ipycontainer_runtime.oci.model import Descriptor
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageRecord, ImageStore

_READ = 1 << 20


class Saves:
    """The saves of one engine; used on its event loop."""

    def __init__(
        self, *, blobs: BlobStore, image_store: ImageStore, garbage: Garbage, events: Events
    ) -> None:
        self._blobs = blobs
        self._image_store = image_store
        self._garbage = garbage
        self._events = events

    @contextlib.asynccontextmanager
    async def save(
        self, names: Sequence[str], platform: Platform | None = None
    ) -> AsyncIterator[Outgoing[None]]:
        """Give the archive of these images, which may be removed meanwhile.

        A repository without a tag stands for all its tags; what is named by an id goes without a
        name. NotFound when there is no such image, or none for that platform.
        """
        chosen = self._chosen(names)
        ids = {record.id for record, _ in chosen}
        for record, _ in chosen:
            _check_platform(record, platform)
        images = [_archived(record, tags, ids) for record, tags in chosen]
        blobs = {part.digest: part.size for record, _ in chosen for part in _parts(record)}

        def pack(put: Put, said: "Future[None]") -> None:
            said.set_result(None)
            self._write(images, blobs, put)

        with self._garbage.making() as made:
            made.blobs.update(blobs)
            async with outgoing(pack) as out:
                for record, _ in chosen:
                    self._events.publish("image", "save", record.id, {"name": record.id})
                yield out

    def _chosen(self, names: Sequence[str]) -> list[tuple[ImageRecord, list[Reference]]]:
        """Return each image that is meant once, with all the names that it is to keep."""
        if not names:
            raise InvalidParameter("the query names no image: names=NAME is wanted")
        chosen: dict[str, tuple[ImageRecord, list[Reference]]] = {}
        for name in names:
            for record, tags in self._meant(name):
                _, known = chosen.setdefault(record.id, (record, []))
                known.extend(tag for tag in tags if tag not in known)
        return list(chosen.values())

    def _meant(self, name: str) -> Iterable[tuple[ImageRecord, list[Reference]]]:
        """Return the images that a name means, each with the names that it is to keep."""
        meant = _parsed(name)
        if meant is not None and not meant.suffix and (found := self._tagged(meant)):
            return found
        record = self._image_store.find(name)
        if record is None:
            raise NotFound(f"No such image: {name}")
        tagged = meant is not None and not meant.digest
        return [(record, [r for r in record.references if tagged and r == meant])]

    def _tagged(self, repository: Reference) -> list[tuple[ImageRecord, list[Reference]]]:
        found = [
            (record, [r for r in record.references if r.name == repository.name and not r.digest])
            for record in self._image_store.list()
        ]
        return [(record, tags) for record, tags in found if tags]

    def _write(self, images: Sequence[Archived], blobs: dict[str, int], put: Put) -> None:
        tar = TarWriter(put)
        for digest in sorted(blobs):
            tar.entry(_entry(archive.member(digest), blobs[digest]))
            self._content(digest, blobs[digest], tar)
        for name, content in archive.documents(images).items():
            tar.entry(_entry(name, len(content)))
            tar.content(content)
            tar.end_content(len(content))
        tar.close()

    def _content(self, digest: str, size: int, tar: TarWriter) -> None:
        done = 0
        try:
            with self._blobs.open(digest) as file:
                while piece := file.read(_READ):
                    tar.content(piece)
                    done += len(piece)
        except OSError as error:
            raise Unavailable(f"cannot read the blob {digest}: {error.strerror}") from error
        if done != size:
            raise Corrupt(f"the blob {digest} has {done} bytes in place of {size}")
        tar.end_content(size)


def _archived(record: ImageRecord, tags: Sequence[Reference], ids: Set[str]) -> Archived:
    parent = record.parent if record.parent in ids else ""
    platform = record.config.platform
    return Archived(record.id, record.descriptor, record.manifest, platform, tuple(tags), parent)


def _entry(name: str, size: int) -> Entry:
    """Return a file of the archive, without a time: the same images give the same bytes."""
    return Entry(name.encode(), REGULAR, 0o644, 0, 0, 0, b"", size, size)


def _parts(record: ImageRecord) -> Sequence[Descriptor]:
    return (record.descriptor, record.manifest.config, *record.manifest.layers)


def _parsed(name: str) -> Reference | None:
    """Return what may be a name; None for a whole id."""
    try:
        return Reference.parse(name, default_tag=None)
    except InvalidParameter:
        return None


def _check_platform(record: ImageRecord, platform: Platform | None) -> None:
    if platform is not None and not platforms.matches(platform, record.config.platform):
        raise NotFound(
            f"image {record.id[:19]} is for {record.config.platform}, not for {platform}: leave"
            " --platform out, or pull it for that platform first"
        )
