"""Without an index: this computer's own ipykernel, where the image's Python can run it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ipycontainer.failures import Failure
from ipycontainer_kernel.inject.probe import Facts, normalised
from ipycontainer_kernel.inject.uv import LEFT_OUT, Unreachable, Wheel

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_WANTED = ("ipykernel", "ipywidgets")
_CURE = "connect this computer once, or use an image that has ipykernel"


def copy(facts: Facts, target: Path, error: Unreachable) -> list[Wheel]:
    """Copy what ipykernel is made of here to `target`; return names and versions, without hashes.

    Raises Failure with the reason where the image's Python is another, or has what does not fit.
    """
    if reason := _differs(facts):
        raise Failure(f"{error}; and {reason}: {_CURE}") from error
    found = _needed(facts)
    for distribution in found.values():
        _copy(distribution, target)
    return [
        {"name": name, "version": one.version, "sha256": ""} for name, one in sorted(found.items())
    ]


def _differs(facts: Facts) -> str:
    """Say in what the image's Python differs from this one so that extensions do not load."""
    libc, version = platform.libc_ver()
    own = (sys.implementation.cache_tag, libc, platform.machine())
    if own != (facts.tag, facts.libc, facts.machine):
        of = f"{facts.implementation} {facts.python} for {facts.libc} on {facts.machine}"
        return f"the image has {of}, other than the Python here ({platform.python_version()})"
    if tuple(map(int, version.split(".")[:2])) > facts.libc_version:
        return f"the image's glibc is older than the one here ({version})"
    return ""


def _needed(facts: Facts) -> dict[str, metadata.Distribution]:
    """Return what the image lacks of ipykernel and all that it needs."""
    from packaging.requirements import Requirement

    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(name) for name in _WANTED]
    while waiting:
        wanted = waiting.pop()
        name = normalised(wanted.name)
        if name in LEFT_OUT or name in found or _had(facts, wanted):
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise Failure(f"{name} is not installed here, for ipykernel: {_CURE}") from error
        every = [Requirement(text) for text in found[name].requires or ()]
        waiting += [one for one in every if one.marker is None or one.marker.evaluate()]
    return found


def _had(facts: Facts, wanted: Requirement) -> bool:
    version = facts.distributions.get(normalised(wanted.name))
    if version is None:
        return False
    if not wanted.specifier.contains(version, prereleases=True):
        raise Failure(
            f"the image has {wanted.name} {version}, and the ipykernel here needs"
            f" {wanted.name}{wanted.specifier}: {_CURE}"
        )
    return True


def _copy(distribution: metadata.Distribution, target: Path) -> None:
    for file, source in _files(distribution):
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        os.utime(place, (source.stat().st_atime, source.stat().st_mtime))


def _files(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Yield its modules: what lies outside site-packages are commands, and pages' files."""
    if distribution.files is None:
        name = distribution.metadata["Name"]
        raise Failure(f"no installer wrote down which files {name} has here: {_CURE}")
    for file in distribution.files:
        if ".." not in file.parts and not file.is_absolute() and file.suffix != ".pyc":
            yield str(file), Path(str(file.locate()))
