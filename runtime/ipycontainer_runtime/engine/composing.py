"""The documents of an image that is made here: its config and its manifest, written as blobs.

A commit, an import, a capture and a build all end with it. What they write is theirs until the
image has a name: it is noted before it is there, so that no removal in between takes it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ipycontainer_runtime.engine.garbage import Made
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.store.blobs import BlobStore

_TERMS = {
    True: {model.OCI_LAYER_GZIP: model.DOCKER_LAYER_GZIP},
    False: {model.DOCKER_LAYER_GZIP: model.OCI_LAYER_GZIP},
}


class Composed(NamedTuple):
    """An image whose documents are in the store, and which has no name yet."""

    descriptor: model.Descriptor
    manifest: model.Manifest


def compose(
    config: model.ImageConfig,
    layers: Sequence[model.Descriptor],
    *,
    blobs: BlobStore,
    made: Made,
    docker: bool = False,
) -> Composed:
    """Write an image's config and manifest, in OCI's terms or in Docker's; on any thread."""
    kinds = model.OCI_CONFIG, model.OCI_MANIFEST
    if docker:
        kinds = model.DOCKER_CONFIG, model.DOCKER_MANIFEST
    manifest = model.Manifest(
        media_type=kinds[1],
        config=_put(kinds[0], model.encode(config), blobs, made),
        layers=tuple(_described(layer, docker=docker) for layer in layers),
    )
    return Composed(_put(kinds[1], model.encode(manifest), blobs, made), manifest)


def _put(kind: str, content: bytes, blobs: BlobStore, made: Made) -> model.Descriptor:
    made.blobs.add(digests.of(content))
    stored = blobs.put(content)
    return model.Descriptor(kind, stored.digest, stored.size)


def _described(layer: model.Descriptor, *, docker: bool) -> model.Descriptor:
    """Describe a layer in the terms of its image: registries refuse a mixture."""
    kind = _TERMS[docker].get(layer.media_type)
    return layer if kind is None else model.Descriptor(kind, layer.digest, layer.size)
