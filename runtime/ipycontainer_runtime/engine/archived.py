"""What an archive's documents say: which images it has, for which machine, under which names."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ipycontainer_runtime.engine.unpacking import Layer
from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound
from ipycontainer_runtime.layers.compression import GZIP, MEDIA_TYPES
from ipycontainer_runtime.layers.shelf import Member, Shelf
from ipycontainer_runtime.oci import archive, model
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.archive import DockerImage
from ipycontainer_runtime.oci.model import Descriptor, ImageConfig, Index, Manifest
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore

DEPTH_LIMIT = 4
_CONFIGS = frozenset({model.OCI_CONFIG, model.DOCKER_CONFIG})
# What BuildKit marks its attestations with: manifests in an index that are no images.
_OF_IMAGE = "vnd.docker.reference.type"


class Loaded(NamedTuple):
    """An image whose blobs are here."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    tags: tuple[Reference, ...]
    parent: str = ""
    replaceable: bool = False
    """Whether its manifest was made here, so that another of the same image does as well."""

    @property
    def id(self) -> str:
        """The digest of its config."""
        return self.manifest.config.digest

    @property
    def blobs(self) -> list[str]:
        """The digest of every blob it consists of."""
        layers = (layer.digest for layer in self.manifest.layers)
        return [self.descriptor.digest, self.id, *layers]

    @property
    def layers(self) -> list[Layer]:
        """Its layers, lowest first."""
        diff_ids = self.config.rootfs.diff_ids
        chain = model.chain_ids(diff_ids)
        return [
            Layer(descriptor, diff_id, chain[i], chain[:i])
            for i, (descriptor, diff_id) in enumerate(
                zip(self.manifest.layers, diff_ids, strict=True)
            )
        ]


def read(
    shelf: Shelf, blobs: BlobStore, platform: Platform | None, made: Callable[[str], None]
) -> list[Loaded]:
    """Return the images of an archive that was taken; on a thread.

    Of an image for several platforms it is the one for `platform`, or for this machine. `made` is
    told of each blob that is written. Raises Corrupt for a malformed archive, NotFound where it
    has nothing for the platform, InvalidParameter where it is no archive of images.
    """
    return _Reader(shelf, blobs, platform, made).images()


class _Reader:
    def __init__(
        self,
        shelf: Shelf,
        blobs: BlobStore,
        platform: Platform | None,
        made: Callable[[str], None],
    ) -> None:
        self._shelf = shelf
        self._blobs = blobs
        self._platform = platform
        self._made = made

    def images(self) -> list[Loaded]:
        documents = self._shelf.documents
        index, docker = documents.get(archive.INDEX), documents.get(archive.DOCKER)
        if index is None and docker is None:
            raise InvalidParameter(
                f"the archive has neither {archive.DOCKER} nor {archive.INDEX}, so it holds no"
                " image; a file system's archive is taken by import"
            )
        found = self._of_layout(index) if index is not None else []
        for image in archive.decode_docker(docker) if docker is not None else ():
            found = self._with_docker(found, image)
        _refuse_two_of_a_name(found)
        if not found:
            raise InvalidParameter("the archive names no image")
        return found

    # -- OCI

    def _of_layout(self, content: bytes) -> list[Loaded]:
        groups: dict[str, list[Descriptor]] = {}
        for entry in _decoded_index(content).manifests:
            if not _is_attestation(entry):
                groups.setdefault(_name(entry) or entry.digest, []).append(entry)
        images: dict[str, Loaded] = {}
        for group in groups.values():
            entry = group[0] if len({e.digest for e in group}) == 1 else self._select(group)
            image = self._resolve(entry, _tag(name) if (name := _name(group[0])) else ())
            if image is not None:
                known = images.get(image.descriptor.digest)
                tags = (*known.tags, *image.tags) if known else image.tags
                images[image.descriptor.digest] = image._replace(tags=tags)
        return list(images.values())

    def _resolve(self, entry: Descriptor, tags: tuple[Reference, ...]) -> Loaded | None:
        """Return the image that an entry leads to; None for what is no image."""
        for _ in range(DEPTH_LIMIT):
            if entry.media_type not in model.INDEXES | model.MANIFESTS:
                return None
            member = self._shelf.find(archive.member(entry.digest))
            document = model.decode_manifest(self._document(member), entry.media_type)
            if isinstance(document, Manifest):
                descriptor = Descriptor(entry.media_type, member.digest, member.size)
                return self._image(descriptor, document, tags)
            entry = self._select([e for e in document.manifests if not _is_attestation(e)])
        raise Corrupt(f"the archive has indexes nested more than {DEPTH_LIMIT} deep")

    def _select(self, entries: Sequence[Descriptor]) -> Descriptor:
        """Return what suits the machine best; what is alone need not, unless that was asked."""
        if len(entries) == 1 and (self._platform is None or entries[0].platform is None):
            return entries[0]
        return model.select(Index(tuple(entries)), self._platform or platforms.host())

    def _image(
        self, descriptor: Descriptor, manifest: Manifest, tags: tuple[Reference, ...]
    ) -> Loaded | None:
        if manifest.config.media_type not in _CONFIGS:
            return None
        for part in (manifest.config, *manifest.layers):
            self._check(part)
        config = model.decode_config(
            self._document(self._shelf.find(archive.member(manifest.config.digest)))
        )
        return self._checked(Loaded(descriptor, manifest, config, tags))

    def _check(self, part: Descriptor) -> None:
        member = self._shelf.find(archive.member(part.digest))
        if member.size != part.size:
            raise Corrupt(
                f"{part.digest} of the archive has {member.size} bytes where {part.size} are"
                " declared"
            )

    # -- Docker

    def _with_docker(self, found: list[Loaded], image: DockerImage) -> list[Loaded]:
        """Add one image of `manifest.json`, or only its names to one that is there already."""
        config = self._shelf.find(image.config)
        tags = tuple(tag for name in image.repo_tags or () for tag in _tag(name))
        same = [known for known in found if known.id == config.digest]
        if not same:
            return [*found, self._described(image, config, tags)]
        more = tuple(t for t in tags if not any(t in known.tags for known in same))
        return [
            known._replace(tags=(*known.tags, *more), parent=image.parent)
            if known is same[0]
            else known
            for known in found
        ]

    def _described(self, image: DockerImage, member: Member, tags: tuple[Reference, ...]) -> Loaded:
        """Make the manifest that Docker's archives lack."""
        if len(image.layers) > model.MAX_LAYERS:
            raise Corrupt(
                f"the image has {len(image.layers)} layers, more than the {model.MAX_LAYERS} of"
                " an overlay"
            )
        config = model.decode_config(self._document(member))
        layers = [self._shelf.find(name) for name in image.layers]
        for layer, diff_id in zip(layers, config.rootfs.diff_ids, strict=False):
            if layer.diff_id and layer.diff_id != diff_id:
                raise Corrupt(f"the archive has the layer {layer.diff_id} in place of {diff_id}")
        docker = all(layer.compression == GZIP for layer in layers)
        manifest = Manifest(
            media_type=model.DOCKER_MANIFEST if docker else model.OCI_MANIFEST,
            config=Descriptor(
                model.DOCKER_CONFIG if docker else model.OCI_CONFIG, member.digest, member.size
            ),
            layers=tuple(_layer(layer, docker=docker) for layer in layers),
        )
        content = model.encode(manifest)
        stored = self._put(content)
        descriptor = Descriptor(manifest.media_type, stored, len(content))
        return self._checked(
            Loaded(descriptor, manifest, config, tags, image.parent, replaceable=True)
        )

    def _put(self, content: bytes) -> str:
        with self._blobs.writer() as writer:
            writer.write(content)
            self._made(writer.digest)
            return writer.commit().digest

    def _document(self, member: Member) -> bytes:
        return self._blobs.read(member.digest, model.MAX_DOCUMENT)

    def _checked(self, image: Loaded) -> Loaded:
        layers, diff_ids = len(image.manifest.layers), len(image.config.rootfs.diff_ids)
        if layers != diff_ids:
            raise Corrupt(
                f"the archive's image has {layers} layers and diff ids for {diff_ids}: its manifest"
                " and its config do not belong together"
            )
        if image.config.os not in ("linux", ""):
            raise NotFound(
                f"image operating system {image.config.os[:60]!r} cannot be used here: this engine"
                " runs linux images"
            )
        wanted = self._platform
        if wanted is not None and not platforms.matches(wanted, image.config.platform):
            raise NotFound(
                f"the archive's image is for {image.config.platform}, which does not match the"
                f" specified platform ({wanted})"
            )
        return image


def _layer(member: Member, *, docker: bool) -> Descriptor:
    kind = MEDIA_TYPES.get(member.compression, model.OCI_LAYER)
    kind = model.DOCKER_LAYER_GZIP if docker else kind
    return Descriptor(kind, member.digest, member.size)


def _decoded_index(content: bytes) -> Index:
    document = model.decode_manifest(content, model.OCI_INDEX)
    if not isinstance(document, Index):
        raise Corrupt(f"the archive's {archive.INDEX} is no index")
    return document


def _is_attestation(entry: Descriptor) -> bool:
    platform = entry.platform
    unknown = platform is not None and (platform.os, platform.architecture) == ("unknown",) * 2
    return unknown or _OF_IMAGE in (entry.annotations or {})


def _name(entry: Descriptor) -> str:
    """Return the whole name that an index gives an image; a tag alone is of no repository."""
    annotations = entry.annotations or {}
    name = annotations.get(archive.NAME) or annotations.get(archive.REF_NAME) or ""
    return name if ":" in name or "/" in name else ""


def _tag(name: str) -> tuple[Reference, ...]:
    """Return the tag that a name means; nothing for a digest, which says itself what it is of."""
    reference = Reference.parse(name)
    return () if reference.digest else (reference,)


def _refuse_two_of_a_name(images: Sequence[Loaded]) -> None:
    """Refuse an archive whose documents disagree: others would see another image in it."""
    named: dict[Reference, str] = {}
    for image in images:
        for tag in image.tags:
            if named.setdefault(tag, image.id) != image.id:
                raise Corrupt(f"the archive has two images of the name {tag.familiar}")
