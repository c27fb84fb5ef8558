"""What must hold of an engine's folders, processes and cgroups when nothing is going on."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crashfaults import Processes

from ipycontainer_runtime.oci.model import chain_ids
from support import leftovers
from support.engines import Engine

PARKED = 2  # shims that an engine keeps ahead


def store(root: Path, containers: set[str]) -> list[str]:
    """Complain of what is half, dangling or left over on a disk whose containers are these."""
    blobs = root / "images/blobs/sha256"
    used, layers, found = set[str](), {"init"}, list[str]()
    for entry in json.loads((root / "images/index.json").read_text())["manifests"]:
        parts, chain = _image(blobs, entry)
        used.update(parts)
        layers.update(chain)
        found += [f"{entry} lacks {name}" for name in parts if not (blobs / name).exists()]
    for container in containers:
        config = json.loads((root / "containers" / container / "config.json").read_text())
        layers.update(map(_bare, config["chain"]))
    names = {
        "blob": (blobs, used),
        "layer": (root / "layers", layers),
        "container": (root / "containers", containers),
        "ingest": (root / "ingest", set[str]()),
        "trash": (root / "trash", set[str]()),
    }
    for kind, (folder, known) in names.items():
        here = {path.name for path in folder.iterdir()}
        found += [f"{kind} {name} belongs to nothing" for name in sorted(here - known)]
        if kind == "layer":
            found += [f"layer {name} is missing" for name in sorted(known - here - {"init"})]
    return found + [f"temporary file {path}" for path in _temporary(root)]


def half_blobs(root: Path) -> list[str]:
    """Complain of blobs whose content is not what they are called."""
    return [
        f"blob {path.name} has other content"
        for path in (root / "images/blobs/sha256").iterdir()
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    ]


def _image(blobs: Path, entry: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the blobs of an image and its unpacked layers, by their bare digests."""
    manifest = json.loads((blobs / _bare(entry["digest"])).read_text())
    config = json.loads((blobs / _bare(manifest["config"]["digest"])).read_text())
    parts = [entry, manifest["config"], *manifest["layers"]]
    chain = chain_ids(config["rootfs"]["diff_ids"])
    return [_bare(part["digest"]) for part in parts], list(map(_bare, chain))


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _temporary(root: Path) -> Iterator[Path]:
    for folder in ("images", "containers", "layers"):
        yield from (root / folder).glob(".*")
        yield from (root / folder).glob("*/.*")


def running(engine: Engine, containers: int) -> list[str]:
    """Complain of processes, cgroups and folders beyond those of so many running containers."""
    there = Processes(engine)
    most = containers + PARKED
    cgroups = leftovers.cgroups(engine.paths.run)
    names = {path.name for path in cgroups}
    shims = list((engine.paths.run / "shims").iterdir())
    found = [f"mount {point}" for point in leftovers.mounts(engine.paths.run)]
    if len(there.spawner) > 1 or not containers <= len(there.shims) <= most:
        found.append(f"spawners {there.spawner}, shims {there.shims} for {containers} containers")
    if len(names) > most:
        found.append(f"cgroups {sorted(map(str, cgroups))} for {containers} containers")
    if len(shims) > most:
        found.append(f"folders {sorted(map(str, shims))} for {containers} containers")
    return found
