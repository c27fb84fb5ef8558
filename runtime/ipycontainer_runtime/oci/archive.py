"""The documents of an image archive: Docker's `manifest.json`, and the OCI layout around it.

One file can be both, as Docker's engine has written it since 25: `index.json` and `oci-layout` make
an OCI layout of it, `manifest.json` names the same blobs for those who know nothing of layouts.
Sources: image-spec image-layout.md, and moby's image/spec/spec.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci.model import (
    MAX_DOCUMENT,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    encode,
)
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference

DOCKER, INDEX, LAYOUT, REPOSITORIES = "manifest.json", "index.json", "oci-layout", "repositories"
DOCUMENTS = frozenset({DOCKER, INDEX, LAYOUT})

# Annotations of an index's entry. The first is containerd's and holds the whole reference; the
# second is the image-spec's, what skopeo and umoci look up.
NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"

LAYOUT_CONTENT = b'{"imageLayoutVersion":"1.0.0"}'


class DockerImage(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of `manifest.json`: the names, in the archive, of its config and its layers."""

    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None
    parent: str = ""


class Archived(NamedTuple):
    """One image as an archive has it."""

    id: str
    descriptor: Descriptor
    """Of its manifest, as an index names it."""
    manifest: Manifest
    platform: Platform
    tags: tuple[Reference, ...]
    parent: str = ""
    """The id of the image that it was made from, where that is in the archive as well."""


def member(digest: str) -> str:
    """Return the name that a blob has in an archive."""
    return f"blobs/{digests.algorithm_of(digest)}/{digests.hex_of(digest)}"


def digest_of_member(name: str) -> str | None:
    """Return the digest that a name in an archive promises; None for any other name."""
    first, _, rest = name.partition("/")
    digest = rest.replace("/", ":", 1)
    return digest if first == "blobs" and digests.is_digest(digest) else None


def documents(images: Sequence[Archived]) -> dict[str, bytes]:
    """Return the documents of an archive of these images, by name."""
    inner = {
        image.id: _inner(image) for image in images if image.descriptor.media_type != OCI_MANIFEST
    }
    entries = [entry for image in images for entry in _entries(image, inner.get(image.id))]
    return {
        **{member(digests.of(content)): content for content in inner.values()},
        INDEX: encode(Index(tuple(entries), media_type=OCI_INDEX)),
        DOCKER: msgspec.json.encode([_docker(image) for image in images]),
        LAYOUT: LAYOUT_CONTENT,
        REPOSITORIES: msgspec.json.encode(_repositories(images)),
    }


def _inner(image: Archived) -> bytes:
    """Return an index of one manifest of Docker's type.

    skopeo and Podman find a name in an OCI layout at a manifest or an index of OCI's types alone.
    """
    entry = msgspec.structs.replace(image.descriptor, platform=image.platform)
    return encode(Index((entry,), media_type=OCI_INDEX))


def _entries(image: Archived, inner: bytes | None) -> list[Descriptor]:
    """Return an entry for each tag, or one without a name."""
    entry = image.descriptor
    if inner is not None:
        entry = Descriptor(OCI_INDEX, digests.of(inner), len(inner))
    named = [
        msgspec.structs.replace(entry, annotations={NAME: tag.full, REF_NAME: tag.tag or ""})
        for tag in image.tags
    ]
    return named or [entry]


def _docker(image: Archived) -> dict[str, object]:
    shape: dict[str, object] = {
        "Config": member(image.manifest.config.digest),
        "RepoTags": [tag.familiar for tag in image.tags] or None,
        "Layers": [member(layer.digest) for layer in image.manifest.layers],
    }
    return {**shape, "Parent": image.parent} if image.parent else shape


def _repositories(images: Sequence[Archived]) -> dict[str, dict[str, str]]:
    """Return what clients older than `manifest.json` read: repository, tag, uppermost layer."""
    found: dict[str, dict[str, str]] = {}
    for image in images:
        top = image.manifest.layers[-1] if image.manifest.layers else image.manifest.config
        for tag in image.tags:
            found.setdefault(tag.familiar_name, {})[tag.tag or ""] = digests.hex_of(top.digest)
    return found


def decode_docker(content: bytes) -> tuple[DockerImage, ...]:
    """Decode `manifest.json`; Corrupt when malformed or beyond its bounds."""
    if len(content) > MAX_DOCUMENT:
        raise Corrupt(f"the archive's {DOCKER} is larger than {MAX_DOCUMENT} bytes")
    try:
        return msgspec.json.decode(content, type=tuple[DockerImage, ...])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Corrupt(f"the archive's {DOCKER} is malformed: {error}") from error
