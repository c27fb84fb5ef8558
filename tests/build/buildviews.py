"""An image as the comparison of builders sees it: what it is, without ids and without the clock.

```
{"platform": "linux/amd64", "config": {…}, "history": [[created_by, empty layer], …],
 "layers": ["base", {path: {"type": …, "mode": …, "owner": …, …}}, …]}
```
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

View = dict[str, Any]
Layer = dict[str, dict[str, Any]]

# What is younger was made by the build, and differs between any two.
_NEW = 1_735_689_600
_SHORT = 200
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "pipe",
}


# How contents are told in the history; what is digested is each builder's own affair.
_DIGEST = re.compile(r"(file|dir|multi):[0-9a-f]{64}")
# Ids that the classic builder notes: of the image before, and of the container that it committed.
_OF_BUILDER = ("Image", "Hostname", "ArgsEscaped")


def latest(layout: Path) -> str:
    """Return the digest of the only manifest in an OCI layout."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    return str(entry["digest"])


def base_layers(layout: Path) -> frozenset[str]:
    """Return the diff ids of the only image in an OCI layout."""

    def document(digest: str) -> dict[str, Any]:
        found = json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())
        assert isinstance(found, dict)
        return found

    config = document(document(latest(layout))["config"]["digest"])
    return frozenset(config["rootfs"]["diff_ids"])


def of_layout(folder: Path, digest: str, base: Collection[str]) -> View:
    """Return the image with manifest `digest` in the OCI layout `folder`.

    `base` are the diff ids of the image that builds stand on.
    """

    def blob(name: str) -> bytes:
        return (folder / "blobs" / name.replace(":", "/")).read_bytes()

    manifest = json.loads(blob(digest))
    layers = [entry["digest"] for entry in manifest["layers"]]
    return _view(blob(manifest["config"]["digest"]), layers, blob, base)


def of_saved(archive: bytes, base: Collection[str]) -> View:
    """Return the only image of what `docker save` wrote."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:

        def blob(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()

        entry = json.loads(blob("manifest.json"))[0]
        return _view(blob(entry["Config"]), entry["Layers"], blob, base)


def _view(
    config: bytes, layers: list[str], blob: Callable[[str], bytes], base: Collection[str]
) -> View:
    image = json.loads(config)
    diff_ids = image["rootfs"]["diff_ids"]
    assert len(diff_ids) == len(layers)
    history = image.get("history", [])
    return {
        "platform": f"{image['os']}/{image['architecture']}",
        "author": image.get("author", ""),
        "config": {
            key: value
            for key, value in image.get("config", {}).items()
            if value and key not in _OF_BUILDER and (key, value) != ("WorkingDir", "/")
        },
        "history": [
            [_DIGEST.sub(r"\1:…", one.get("created_by", "")), bool(one.get("empty_layer"))]
            for one in history
        ],
        "layers": [
            "base" if diff_id in base else layer_view(io.BytesIO(_plain(blob(name))))
            for diff_id, name in zip(diff_ids, layers, strict=True)
        ],
    }


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def layer_view(archive: IO[bytes]) -> Layer:
    """Return a layer's entries by path; every name of a file with several tells all of them."""
    entries: Layer = {}
    groups: dict[str, set[str]] = {}
    with tarfile.open(fileobj=archive, errors="surrogateescape") as tar:
        for info in tar:
            path = _path(info.name)
            if path == "/.":
                continue  # the root itself, which no image owns
            if info.islnk():
                first = _path(info.linkname)
                groups.setdefault(first, {first}).add(path)
            else:
                entries[path] = _entry(tar, info)
    for first, names in groups.items():
        if first in entries:
            entries[first]["names"] = sorted(names)
        for name in names:
            entries[name] = entries.get(first, {"type": f"hard link to {first}"})
    return dict(sorted(entries.items()))


def apart(ours: View, theirs: View) -> list[str]:
    """Return what differs, a line each."""
    found = [
        f"{key}: {ours[key]} and not {theirs[key]}"
        for key in ("platform", "author", "history")
        if ours[key] != theirs[key]
    ]
    found += _by_name("config", ours["config"], theirs["config"])
    if len(ours["layers"]) != len(theirs["layers"]):
        names = [[list(layer) for layer in view["layers"]] for view in (ours, theirs)]
        return [*found, f"layers: {names[0]} and not {names[1]}"]
    for number, (layer, other) in enumerate(zip(ours["layers"], theirs["layers"], strict=True)):
        if layer == "base" or other == "base":
            found += [] if layer == other else [f"layer {number} is not the base's in both"]
        else:
            found += _by_name(f"layer {number}:", layer, other)
    return found


def _by_name(what: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [
        f"{what} {name}: {ours.get(name)} and not {theirs.get(name)}"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]


def _path(name: str) -> str:
    return "/" + name.removeprefix("./").strip("/")


def _entry(tar: tarfile.TarFile, info: tarfile.TarInfo) -> dict[str, Any]:
    if info.name.rpartition("/")[2].startswith(".wh."):
        return {"type": "whiteout"}
    entry: dict[str, Any] = {
        "type": _KINDS[info.type],
        "mode": f"{info.mode & 0o7777:04o}",
        "owner": f"{info.uid}:{info.gid}",
    }
    if info.isreg():
        file = tar.extractfile(info)
        assert file is not None
        entry["content"] = _shown(file.read())
    elif info.issym():
        entry["target"] = info.linkname
    elif info.isdev() and not info.isfifo():
        entry["device"] = f"{info.devmajor}:{info.devminor}"
    if attributes := {
        key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape").hex()
        for key, value in info.pax_headers.items()
        if key.startswith("SCHILY.xattr.")
    }:
        entry["attributes"] = attributes
    if info.mtime < _NEW and not info.isdir():
        entry["changed"] = int(info.mtime)
    return entry


def _shown(content: bytes) -> str:
    """Return short text as it is, and anything else by its digest, so that a difference is read."""
    if len(content) <= _SHORT:
        return content.decode("utf-8", "backslashreplace")
    return f"{len(content)} bytes, sha256:{hashlib.sha256(content).hexdigest()}"
