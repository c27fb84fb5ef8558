"""What a registry has under a reference: the part of a pull before any layer is fetched.

Imported when the first pull begins: `requests` costs an idle engine time and memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ipycontainer_runtime import configuration
from ipycontainer_runtime.credentials.config import DockerConfig
from ipycontainer_runtime.engine.unpacking import Layer
from ipycontainer_runtime.errors import Corrupt, NotFound
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.model import (
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    chain_ids,
    decode_config,
)
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.registry import manifests
from ipycontainer_runtime.registry import tags as listing
from ipycontainer_runtime.registry.blobs import Download
from ipycontainer_runtime.registry.client import Registry
from ipycontainer_runtime.registry.credentials import Credentials, Given
from ipycontainer_runtime.registry.errors import RegistryError, for_pull
from ipycontainer_runtime.registry.hosts import DOCKER_HUB, mirror_domain
from ipycontainer_runtime.registry.manifests import Resolved
from ipycontainer_runtime.store.blobs import BlobStore

__all__ = ["Described", "Download", "Found", "Source", "describe", "look", "sources", "tags"]


class Source(NamedTuple):
    """A registry that an image may be pulled from, and what it may be told of the person."""

    domain: str
    credentials: Credentials
    mirror: bool = False


def sources(wanted: Reference, auth: str | None) -> Iterator[Source]:
    """Yield where to look for an image, in order: Docker Hub's first in the mirrors of it.

    What a client sent is for the registry that the image's name says. A mirror is another one.
    """
    if wanted.domain == DOCKER_HUB:
        for url in configuration.read().mirrors:
            yield Source(mirror_domain(url), DockerConfig(), mirror=True)
    yield Source(wanted.domain, Given(auth, DockerConfig()))


class Found(NamedTuple):
    """An image in a registry, verified as far as it is here: manifest and config."""

    registry: Registry
    resolved: Resolved
    raw_config: bytes
    config: ImageConfig

    @property
    def documents(self) -> list[tuple[str, bytes]]:
        """Its config and its manifest, each after its digest."""
        chosen = self.resolved.chosen
        return [
            (self.resolved.manifest.config.digest, self.raw_config),
            (chosen.digest, chosen.raw),
        ]

    @property
    def layers(self) -> list[Layer]:
        """Its layers, lowest first."""
        diff_ids = self.config.rootfs.diff_ids
        chain = chain_ids(diff_ids)
        descriptors = self.resolved.manifest.layers
        return [
            Layer(descriptor, diff_id, chain[i], chain[:i])
            for i, (descriptor, diff_id) in enumerate(zip(descriptors, diff_ids, strict=True))
        ]

    @property
    def blobs(self) -> set[str]:
        """The digest of every blob it consists of."""
        manifest = self.resolved.manifest
        layers = (layer.digest for layer in manifest.layers)
        return {self.resolved.chosen.digest, manifest.config.digest, *layers}


class Described(NamedTuple):
    """What GET /distribution/{name}/json tells: what a name means, and for which machines."""

    descriptor: Descriptor
    platforms: list[Platform]


def look(source: Source, wanted: Reference, platform: Platform | None, blobs: BlobStore) -> Found:
    """Ask a registry what a reference means on `platform`, or on this machine; on a thread.

    Raises a ContainerError in the words of Docker's engine. The caller closes the registry.
    """
    registry = Registry(source.domain, source.credentials)
    try:
        return _look(registry, wanted, platform, blobs)
    except RegistryError as error:
        registry.close()
        raise for_pull(error, wanted.familiar_name, wanted.familiar) from error
    except BaseException:
        registry.close()
        raise


def tags(source: Source, wanted: Reference) -> list[str]:
    """Return the tags of a repository, on a thread; errors as in `look`."""
    with Registry(source.domain, source.credentials) as registry:
        try:
            return listing.tags(registry, wanted.path)
        except RegistryError as error:
            raise for_pull(error, wanted.familiar_name, wanted.familiar) from error


def describe(wanted: Reference, auth: str | None) -> Described:
    """Ask the registry what a reference names, fetching nothing but manifest and config."""
    with Registry(wanted.domain, Given(auth, DockerConfig())) as registry:
        try:
            found = manifests.fetch(registry, wanted.path, wanted.digest or wanted.tag or "")
            if isinstance(found.document, Index):
                entries = found.document.manifests
                return Described(found.descriptor, [e.platform for e in entries if e.platform])
            raw = manifests.fetch_config(registry, wanted.path, found.document.config)
            return Described(found.descriptor, [decode_config(raw).platform])
        except RegistryError as error:
            raise for_pull(error, wanted.familiar_name, wanted.familiar) from error


def _look(
    registry: Registry, wanted: Reference, platform: Platform | None, blobs: BlobStore
) -> Found:
    name = wanted.digest or wanted.tag or ""
    resolved = manifests.resolve(registry, wanted.path, name, platform or platforms.host())
    raw = _config(registry, wanted, resolved.manifest, blobs)
    found = Found(registry, resolved, raw, decode_config(raw))
    _check(wanted, platform, found)
    return found


def _config(registry: Registry, wanted: Reference, manifest: Manifest, blobs: BlobStore) -> bytes:
    if blobs.has(manifest.config.digest):
        return blobs.read(manifest.config.digest)
    return manifests.fetch_config(registry, wanted.path, manifest.config)


def _check(wanted: Reference, platform: Platform | None, found: Found) -> None:
    """Refuse a config that does not fit its manifest, or is for another machine than was chosen."""
    config, resolved = found.config, found.resolved
    layers, diff_ids = len(resolved.manifest.layers), len(config.rootfs.diff_ids)
    if layers != diff_ids:
        raise Corrupt(
            f"{wanted.familiar} has {layers} layers and diff ids for {diff_ids}: its manifest and "
            "its config do not belong together"
        )
    if config.os not in ("linux", ""):
        raise NotFound(
            f"image operating system {config.os[:60]!r} of {wanted.familiar} cannot be used here: "
            "this engine runs linux images"
        )
    was_chosen = platform is not None or resolved.named is not resolved.chosen
    sought = platform or platforms.host()
    if was_chosen and not platforms.matches(sought, config.platform):
        raise NotFound(
            f"image with reference {wanted.familiar} was found but its platform "
            f"({config.platform}) does not match the specified platform ({sought})"
        )
