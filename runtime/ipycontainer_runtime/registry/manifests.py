"""From a reference to the one manifest that suits this machine, everything verified by digest."""

import hashlib
from typing import NamedTuple

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci.model import Descriptor, Index, Manifest
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.registry.client import Call, Registry

DEPTH_LIMIT = 4
_ACCEPT = ", ".join(
    (model.OCI_INDEX, model.OCI_MANIFEST, model.DOCKER_INDEX, model.DOCKER_MANIFEST)
)
_CONFIGS = frozenset({model.OCI_CONFIG, model.DOCKER_CONFIG})


class Fetched(NamedTuple):
    """A manifest or an index: its bytes as they came, and what they are."""

    raw: bytes
    digest: str
    document: Manifest | Index
    media_type: str

    @property
    def descriptor(self) -> Descriptor:
        """How a store or an index refers to it."""
        return Descriptor(self.media_type, self.digest, len(self.raw))


class Resolved(NamedTuple):
    """What a reference means on one platform."""

    named: Fetched
    """What the tag or digest named: an index where the image is for several platforms."""
    chosen: Fetched
    """The manifest for the platform; the same as `named` where there is no index."""
    manifest: Manifest


def resolve(registry: Registry, repository: str, reference: str, wanted: Platform) -> Resolved:
    """Fetch what a tag or digest names, and through any index the manifest for `wanted`.

    Raises NotFound where there is none for this platform, Corrupt where a digest or size lies.
    """
    named = fetch(registry, repository, reference)
    chosen = named
    for _ in range(DEPTH_LIMIT):
        if isinstance(chosen.document, Manifest):
            return Resolved(named, chosen, _image(chosen.document, repository))
        entry = model.select(chosen.document, wanted)
        chosen = fetch(registry, repository, entry.digest, entry.size)
    raise Corrupt(f"{repository} has indexes nested more than {DEPTH_LIMIT} deep")


def fetch(registry: Registry, repository: str, reference: str, size: int | None = None) -> Fetched:
    """Fetch one manifest or index by tag or digest, at most 4 MiB, and verify it."""
    call = Call(
        "GET",
        f"{repository}/manifests/{reference}",
        f"repository:{repository}:pull",
        {"Accept": _ACCEPT},
    )
    raw, headers = registry.fetch(call, model.MAX_DOCUMENT)
    declared = reference if digests.is_digest(reference) else headers.get("Docker-Content-Digest")
    digest = declared if declared and digests.is_digest(declared) else digests.of(raw)
    _verify(raw, digest, size, repository)
    media_type = _known(headers.get("Content-Type", ""))
    document = model.decode_manifest(raw, media_type)
    return Fetched(raw, digest, document, document.media_type or media_type or _own(document))


def fetch_config(registry: Registry, repository: str, config: Descriptor) -> bytes:
    """Fetch an image's config, at most 4 MiB, and verify it."""
    if config.size > model.MAX_DOCUMENT:
        raise Corrupt(
            f"the config of {repository} is declared with {config.size} bytes, more than the "
            f"{model.MAX_DOCUMENT} that are allowed"
        )
    call = Call("GET", f"{repository}/blobs/{config.digest}", f"repository:{repository}:pull")
    raw, _ = registry.fetch(call, model.MAX_DOCUMENT)
    _verify(raw, config.digest, config.size, repository)
    return raw


def _verify(raw: bytes, digest: str, size: int | None, repository: str) -> None:
    found = f"{digests.algorithm_of(digest)}:{_hash(raw, digest)}"
    if found != digest:
        raise Corrupt(f"{repository} answered with content of digest {found} in place of {digest}")
    if size is not None and len(raw) != size:
        raise Corrupt(f"{digest} of {repository} has {len(raw)} bytes where {size} are declared")


def _hash(raw: bytes, digest: str) -> str:
    return hashlib.new(digests.algorithm_of(digest), raw).hexdigest()


def _known(media_type: str) -> str:
    """Return a Content-Type that says what a document is; some registries send text/plain."""
    bare = media_type.partition(";")[0].strip()
    return bare if bare in model.MANIFESTS | model.INDEXES else ""


def _own(document: Manifest | Index) -> str:
    """Return the media type of a document that has none: only OCI's may lack one."""
    return model.OCI_INDEX if isinstance(document, Index) else model.OCI_MANIFEST


def _image(manifest: Manifest, repository: str) -> Manifest:
    if manifest.config.media_type not in _CONFIGS:
        raise Corrupt(
            f"{repository} holds {manifest.config.media_type[:100]}, which is not a container image"
        )
    return manifest
