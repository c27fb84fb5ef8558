"""How what is injected into one image is made, the first time it is wanted."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipycontainer_kernel.inject import bytecode, cache, libraries, ours, own, uv
from ipycontainer_kernel.inject.probe import Facts, probe

if TYPE_CHECKING:
    from ipycontainer_kernel.inject.throwaway import Trial

RECIPE: Final = 3
"""Raised when what is made here changes: what was made before is then made anew."""
RECORD: Final = "injected.json"
SITE: Final = "site"
"""What is appended to the kernel's sys.path."""
PIP: Final = "pip"
"""pip, for images that have none; apart, as it takes what is beside it for installed."""
_PACKAGE: Final = "ipycontainer_kernel.inside"


def make(trial: Trial, locked: list[dict[str, str]], folder: Path) -> None:
    """Fill `folder` with what the image lacks, and say in RECORD what that is."""
    facts = probe(trial)
    wheels = [] if facts.ipykernel else _wheels(facts, locked, folder)
    record: dict[str, Any] = {
        "python": facts.python,
        "executable": facts.executable,
        "place": facts.place,
        "wheels": wheels,
    }
    (folder / RECORD).write_text(json.dumps(record))
    cache.prune(trial.client)
    if facts.ipykernel:
        own.attempt(trial, facts, inside())
    if wheels:
        libraries.copy(facts, folder / "lib")
        cache.readable(folder)  # the image's user is to import it
        bytecode.write(trial, facts, folder)


def inside() -> Path:
    """Return a copy of `inside/` that any user may read, and no update changes."""
    source = resources.files(_PACKAGE)
    files = {item.name: item.read_text() for item in source.iterdir() if item.name.endswith(".py")}

    def write(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)

    return cache.kept(cache.key(files), write)


def _wheels(facts: Facts, locked: Sequence[dict[str, str]], folder: Path) -> list[uv.Wheel]:
    work = Path(tempfile.mkdtemp(dir=folder))
    try:
        packages = _packages(facts, locked, work)
        pip = {name: one for name, one in packages.items() if name == PIP}
        site = {name: one for name, one in packages.items() if name != PIP}
        wheels = uv.install(facts, site, folder / SITE, work)
        return wheels + uv.install(facts, pip, folder / PIP, work)
    except uv.Unreachable as error:
        return ours.copy(facts, folder / SITE, error)
    finally:
        shutil.rmtree(work)


def _packages(facts: Facts, locked: Sequence[dict[str, str]], work: Path) -> dict[str, uv.Package]:
    wheels = uv.checked(locked)
    if wheels and all(one["sha256"] for one in wheels):
        return {one["name"]: uv.Package(one["version"], {"": one["sha256"]}) for one in wheels}
    wanted = [f"{one['name']}=={one['version']}" for one in wheels] or list(uv.WANTED)
    return uv.resolve(facts, wanted if facts.pip or wheels else [*wanted, PIP], work)
