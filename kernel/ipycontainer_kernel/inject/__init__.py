"""A kernel for an image whose Python has none: wheels that fit it, mounted beside it.

`prepare` asks the image what its Python is, has uv find ipykernel for that version, C library and
machine, and keeps the result on this computer. The kernel's container gets it read-only; the
image's own packages win over it, and nothing but the kernel's process sees it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ipycontainer_kernel.inject import cache, making
from ipycontainer_kernel.inject.probe import NoPython, UnfitPython
from ipycontainer_kernel.inject.throwaway import Trial
from ipycontainer_kernel.inject.uv import Wheel

if TYPE_CHECKING:
    from docker import DockerClient

    from ipycontainer_kernel.settings import Settings

__all__ = ["INSIDE", "WHEELS", "Injected", "NoPython", "UnfitPython", "prepare"]

INSIDE: Final = "/run/ipycontainer-inside"
"""Where a container has `boot.py` and its neighbours."""
WHEELS: Final = "/run/ipycontainer-wheels"
"""Where it has what was injected."""
_COUNTS = re.compile(r"PATH|HOME|LD_LIBRARY_PATH|PYTHON[A-Z0-9]+")


@dataclass(frozen=True)
class Injected:
    """What a container needs to be a kernel.

    `binds` are Docker's, read-only. `argv` is the command, to which the path of the connection file
    inside is added. `wheels` have name, version and sha256 each ("" where a distribution was
    copied from this computer); none where the image has an ipykernel of its own.
    """

    binds: list[str]
    argv: list[str]
    env: dict[str, str]
    wheels: list[Wheel]
    python: str
    """The version of the image's Python."""
    place: str
    """Where that was found, if not on the image's PATH."""


def prepare(client: DockerClient, image: str, settings: Settings | None = None) -> Injected:
    """Return what makes `image` a kernel; the image must be there.

    With `settings.wheels` it is exactly those. The first time takes as long as the wheels take to
    arrive; later it is one question to the engine. Raises NoPython where only a shell kernel can
    be had, UnfitPython where the image's Python is none that kernels run in, and Failure where
    neither an index nor this computer has what is missing.
    """
    ident = str(client.images.get(image).id)
    locked = [dict(wheel) for wheel in settings.wheels] if settings else []
    trial = _trial(client, image, settings)
    by = [ident, dict(trial.env), trial.user]
    name = cache.key(making.RECIPE, *by, locked)
    place = cache.kept(name, lambda folder: making.make(trial, locked, folder))
    made = json.loads((place / making.RECORD).read_text())
    if not locked:  # who locks what was found is to find it again
        cache.also(place, cache.key(making.RECIPE, *by, made["wheels"]))
    inside = making.inside()
    return Injected(
        binds=[f"{place}:{WHEELS}:ro", f"{inside}:{INSIDE}:ro"],
        argv=[made["executable"], f"{INSIDE}/boot.py"],
        env={},
        wheels=made["wheels"],
        python=made["python"],
        place=made["place"],
    )


def _trial(client: DockerClient, image: str, settings: Settings | None) -> Trial:
    """Return how the image is to be asked: with what was asked for that Python goes by."""
    if settings is None:
        return Trial(client, image)
    goes_by = {name: text for name, text in settings.env.items() if _COUNTS.fullmatch(name)}
    return Trial(client, image, goes_by, settings.user)
