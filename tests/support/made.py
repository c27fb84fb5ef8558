"""Small images made in memory, of any format, honest or not."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
INDEX = f"{OCI}.index.v1+json"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER = "arm64" if ARCHITECTURE == "amd64" else "amd64"


@dataclass
class Image:
    """What a registry holds of one image; `digest` is what a tag of it names."""

    digest: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    config_digest: str = ""
    layer_digests: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> bytes:
        """The document that `digest` names."""
        return self.manifests[self.digest][0]


def digest(content: bytes) -> str:
    """Return the sha256 digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def tar(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of regular files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1_700_000_000
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def compressed(plain: bytes, compression: str) -> bytes:
    """Compress by gzip or zstd, or not at all (`plain`)."""
    if compression == "gzip":
        return gzip.compress(plain, 6, mtime=0)
    if compression == "zstd":
        from backports import zstd

        return zstd.compress(plain)
    return plain


_SUFFIX = {"gzip": "+gzip", "zstd": "+zstd", "plain": ""}


def image(
    *layers: bytes,
    compression: str = "gzip",
    docker: bool = False,
    architecture: str = ARCHITECTURE,
    config: Mapping[str, Any] | None = None,
    created: str = "2024-01-02T03:04:05Z",
    diff_ids: list[str] | None = None,
) -> Image:
    """Make an image of these archives, lowest first, in OCI's format or Docker's schema 2.

    `diff_ids` replaces the true ones.
    """
    made = Image()
    document = {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": dict(config or {"Cmd": ["true"]}),
        "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(plain) for plain in layers]},
        "history": [{"created": created, "created_by": f"step {i}"} for i in range(len(layers))],
    }
    layer_type = f"{OCI}.layer.v1.tar{_SUFFIX[compression]}"
    if docker:
        layer_type = f"{DOCKER}.image.rootfs.diff.tar.gzip"
    config_type = f"{DOCKER}.container.image.v1+json" if docker else f"{OCI}.config.v1+json"
    described = [_blob(made, compressed(plain, compression), layer_type) for plain in layers]
    manifest_type = (
        f"{DOCKER}.distribution.manifest.v2+json" if docker else f"{OCI}.manifest.v1+json"
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": _blob(made, json.dumps(document).encode(), config_type),
        "layers": described,
    }
    made.config_digest = manifest["config"]["digest"]
    made.layer_digests = [entry["digest"] for entry in described]
    made.digest = put_manifest(made, manifest, manifest_type)
    return made


def index(*images: tuple[str, Image]) -> Image:
    """Make an index of images, each with the architecture that it is listed under."""
    made = Image()
    entries = []
    for architecture, part in images:
        made.blobs |= part.blobs
        made.manifests |= part.manifests
        content, media_type = part.manifests[part.digest]
        entry = {"mediaType": media_type, "digest": part.digest, "size": len(content)}
        entries.append({**entry, "platform": {"architecture": architecture, "os": "linux"}})
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    made.digest = put_manifest(made, document, INDEX)
    return made


def put_manifest(made: Image, document: Mapping[str, Any], media_type: str) -> str:
    """Add a manifest or index to an image and return its digest."""
    content = json.dumps(document).encode()
    made.manifests[digest(content)] = (content, media_type)
    return digest(content)


def write_layout(made: Image, folder: Path) -> Path:
    """Write an image as an OCI image layout whose one entry is called `latest`."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    contents = {**made.blobs, **{name: content for name, (content, _) in made.manifests.items()}}
    for name, content in contents.items():
        (blobs / name.removeprefix("sha256:")).write_bytes(content)
    content, media_type = made.manifests[made.digest]
    entry = {"mediaType": media_type, "digest": made.digest, "size": len(content)}
    named = {**entry, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return folder


def _blob(made: Image, content: bytes, media_type: str) -> dict[str, Any]:
    made.blobs[digest(content)] = content
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}
