"""Descriptors, manifests, indexes and image configs, of OCI and of Docker's schema 2.

Sources: opencontainers/image-spec v1.1 and Docker's image manifest v2 schema 2. Attribute names
are Python's, encoded names those of the formats. Decoding is bounded: nothing here is larger than
`MAX_DOCUMENT` bytes or deeper than its type.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from ipycontainer_runtime.errors import Corrupt, NotFound
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

MAX_DOCUMENT = 4 << 20
# An overlay takes 500 lower folders (fs/overlayfs/params.h, OVL_MAX_STACK); one holds mount points.
MAX_LAYERS = 499

EMPTY_DIFF_ID = "sha256:" + hashlib.sha256(bytes(1024)).hexdigest()


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Content by digest: what it is, its size in bytes, and where an index says it runs."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    data: str | None = None
    artifact_type: str | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image for one platform: its config and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    schema_version: int = msgspec.field(default=2)
    media_type: str = ""
    annotations: dict[str, str] | None = None
    subject: Descriptor | None = None
    artifact_type: str | None = None


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Manifests of one image for several platforms."""

    manifests: tuple[Descriptor, ...]
    schema_version: int = msgspec.field(default=2)
    media_type: str = ""
    annotations: dict[str, str] | None = None
    subject: Descriptor | None = None
    artifact_type: str | None = None


class Healthcheck(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """How to see whether a container is healthy; times in nanoseconds."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """What a container of an image runs unless told otherwise; Docker's and OCI's fields."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    healthcheck: Healthcheck | None = None
    shell: list[str] | None = None
    on_build: list[str] | None = None
    args_escaped: bool = False


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of an image's making; `empty_layer` where it changed no file."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the uncompressed layers, lowest first."""

    type: str = "layers"
    diff_ids: tuple[str, ...] = ()


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image's config document; its digest is the image's id."""

    architecture: str = ""
    os: str = ""
    rootfs: RootFs = RootFs()
    config: ContainerConfig | None = None
    created: str | None = None
    author: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    history: tuple[History, ...] | None = None
    docker_version: str = ""
    comment: str = ""
    container: str = ""

    @property
    def platform(self) -> Platform:
        """What this image runs on."""
        return Platform(self.architecture, self.os, self.variant or None)

    @property
    def defaults(self) -> ContainerConfig:
        """The container config, empty where the image has none."""
        return self.config or ContainerConfig()

    @property
    def steps(self) -> tuple[History, ...]:
        """Its history; one entry for each layer where it has none, as OCI allows."""
        return self.history or tuple(
            History(created=self.created or "") for _ in self.rootfs.diff_ids
        )


_Document = TypeVar("_Document", Manifest, Index, ImageConfig)


class _Kind(msgspec.Struct, rename="camel"):
    media_type: str = ""
    schema_version: int = 0
    manifests: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()
    fs_layers: msgspec.Raw = msgspec.Raw()


def encode(document: msgspec.Struct) -> bytes:
    """Return the JSON of a document, the same bytes for the same content."""
    fields = msgspec.to_builtins(document, order="sorted")
    if isinstance(document, Manifest | Index):
        fields["schemaVersion"] = document.schema_version
    if isinstance(document, ImageConfig):
        # The image-spec requires these even where they are empty.
        fields |= {"architecture": document.architecture, "os": document.os}
        fields["rootfs"] = {"type": "layers", "diff_ids": list(document.rootfs.diff_ids)}
    return msgspec.json.encode(fields, order="sorted")


def decode_manifest(content: bytes, media_type: str = "") -> Manifest | Index:
    """Decode a manifest or an index, told apart by media type and by what it holds.

    A media type that the document contradicts is Corrupt: a client that took one for the other
    could be shown two images under one digest.
    """
    kind = _decode(content, _Kind, "manifest")
    declared = kind.media_type or media_type.partition(";")[0].strip()
    if kind.schema_version == 1 or _present(kind.fs_layers):
        raise Corrupt(
            "the manifest is of Docker's schema 1, which this engine does not read:"
            " push the image again with a current client"
        )
    is_index = _present(kind.manifests)
    if is_index == _present(kind.layers):
        raise Corrupt("the manifest has neither or both of `layers` and `manifests`")
    if declared and declared not in (INDEXES if is_index else MANIFESTS):
        raise Corrupt(f"the manifest calls itself {declared[:100]!r}, which is not what it holds")
    return _decode_index(content) if is_index else _decode_image(content)


def _present(field: msgspec.Raw) -> bool:
    return bytes(field) not in (b"", b"null")


def _decode_image(content: bytes) -> Manifest:
    manifest = _decode(content, Manifest, "manifest")
    if len(manifest.layers) > MAX_LAYERS:
        raise Corrupt(
            f"the image has {len(manifest.layers)} layers, more than the {MAX_LAYERS} of an overlay"
        )
    for descriptor in (manifest.config, *manifest.layers):
        _check(descriptor)
    return manifest


def _decode_index(content: bytes) -> Index:
    index = _decode(content, Index, "index")
    for descriptor in index.manifests:
        _check(descriptor)
    return index


def _check(descriptor: Descriptor) -> None:
    if descriptor.size < 0:
        raise Corrupt(f"{descriptor.digest[:140]} is declared with {descriptor.size} bytes")
    if not digests.is_digest(descriptor.digest):
        raise Corrupt(f"the manifest names an invalid digest {descriptor.digest[:140]!r}")


def decode_config(content: bytes) -> ImageConfig:
    """Decode an image config; Corrupt when malformed or beyond its bounds."""
    config = _decode(content, ImageConfig, "image config")
    if len(config.rootfs.diff_ids) > MAX_LAYERS:
        raise Corrupt(f"the image config names more than {MAX_LAYERS} layers")
    for diff_id in config.rootfs.diff_ids:
        if not digests.is_digest(diff_id):
            raise Corrupt(f"the image config names an invalid diff id {diff_id[:140]!r}")
    return config


_Any = TypeVar("_Any")


def _decode(content: bytes, kind: type[_Any], what: str) -> _Any:
    if len(content) > MAX_DOCUMENT:
        raise Corrupt(f"the {what} is larger than {MAX_DOCUMENT} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Corrupt(f"the {what} is malformed: {error}") from error


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the chain id of each layer: what it is together with all layers below it.

    image-spec config.md#layer-chainid: the first is the diff id itself, each further one
    sha256("<chain below> <diff id>").
    """
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(chained(chain[-1] if chain else "", diff_id))
    return tuple(chain)


def chained(below: str, diff_id: str) -> str:
    """Return the chain id of a layer over the one whose chain id is `below`, empty for none."""
    return digests.of(f"{below} {diff_id}".encode()) if below else diff_id


def select(index: Index, wanted: Platform) -> Descriptor:
    """Return the manifest of an index that suits `wanted` best, else NotFound in Docker's words."""
    ranked = [
        (rank, position)
        for position, entry in enumerate(index.manifests)
        if entry.platform is not None
        and entry.media_type in MANIFESTS | INDEXES
        and (rank := platforms.preference(wanted, entry.platform)) is not None
    ]
    if not ranked:
        raise NotFound(f"no matching manifest for {wanted} in the manifest list entries")
    return index.manifests[min(ranked)[1]]
