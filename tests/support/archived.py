"""Archives of images, made in memory and taken apart, honest or not."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from support.made import OCI, Image, digest

REF_NAME = "org.opencontainers.image.ref.name"


def pack(members: Mapping[str, bytes | str]) -> bytes:
    """Return an archive of files; a text is a symlink to what it says."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    """Return the files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {entry.name: tar.extractfile(entry) for entry in tar if entry.isfile()}
    return {name: file.read() for name, file in found.items() if file is not None}


def blobs(made: Image) -> dict[str, bytes]:
    """Return an image's blobs under their names in an OCI layout."""
    contents = {**made.blobs, **{name: content for name, (content, _) in made.manifests.items()}}
    return {f"blobs/{name.replace(':', '/')}": content for name, content in contents.items()}


def entry(made: Image, name: str = "") -> dict[str, Any]:
    """Return how an index names an image."""
    content, media_type = made.manifests[made.digest]
    described = {"mediaType": media_type, "digest": made.digest, "size": len(content)}
    return {**described, "annotations": {REF_NAME: name}} if name else described


def layout(entries: Sequence[Mapping[str, Any]], *images: Image) -> dict[str, bytes]:
    """Return the members of an OCI archive."""
    held = [blobs(made) for made in images]
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(entries)}
    return {
        **{name: content for part in held for name, content in part.items()},
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index).encode(),
    }


def of_old(
    *layers: bytes, tags: Sequence[str] = (), config: Mapping[str, Any] | None = None
) -> dict[str, bytes | str]:
    """Return what Docker's engine saved before 25; layers from the lowest up."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config or {"Cmd": ["true"]}),
        "rootfs": {"type": "layers", "diff_ids": [digest(plain) for plain in layers]},
    }
    content = json.dumps(document).encode()
    named: dict[str, bytes | str] = {}
    places: dict[bytes, str] = {}
    files = []
    for number, plain in enumerate(layers):
        file = f"{number:064x}/layer.tar"
        named[f"{number:064x}/VERSION"] = b"1.0"
        named[f"{number:064x}/json"] = b'{"id": "old"}'
        # What is there twice is a link the second time.
        named[file] = f"../{places[plain]}" if plain in places else plain
        places.setdefault(plain, file)
        files.append(file)
    config_name = f"{digest(content).removeprefix('sha256:')}.json"
    listed = [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": files}]
    named[config_name] = content
    named["manifest.json"] = json.dumps(listed).encode()
    return named
