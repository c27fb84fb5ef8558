"""What Python an image has: asked of it, and believed only within bounds.

An image may lie. What it says chooses wheels and is written down, so everything has the form that
an honest answer has, and nothing of it becomes a path or a command of this computer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ipycontainer.failures import Failure
from ipycontainer_kernel.inject import places

if TYPE_CHECKING:
    from ipycontainer_kernel.inject.throwaway import Ended, Trial

OLDEST: Final = (3, 9)
MACHINES: Final = ("x86_64", "aarch64", "riscv64")
LIBRARIES: Final = ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1")
"""Parts of glibc that an image of few libraries may lack."""
CXX_LIBRARIES: Final = ("libgcc_s.so.1", "libstdc++.so.6")
"""What every C++ program needs."""
_SECONDS, _LIMIT, _DISTRIBUTIONS = 30.0, 1 << 20, 5000
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?")
# A release and the suffixes of PEP 440, without its spellings that nobody normalised.
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]{0,60}")
_LIBC = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}(?:\.[0-9]{1,3})?")
_TAG = re.compile(r"[a-z]{2,12}-?[0-9]{2,5}[a-z]{0,4}")  # cpython-312, and pypy39
_PATH = re.compile(r"/[!-~]{1,1000}")
_NAMES: Final = ("python3", "python", "pypy3")
# Python 2 knows it not, and 3 does nothing for it that a kernel's does not.
_ONLY_3: Final = "-q"
ALONE: Final = "import sys\nif sys.path[:1] == ['']:\n    del sys.path[0]\n"
"""What a text that is given to `python3 -c` begins with: modules of the folder that it happens to
begin in are not the image's. Not `-I`: what a kernel sees by PYTHONPATH and of its user is."""
_ASTRAY: Final = re.compile(rb"^ *PYTHONHOME = '(.{1,200})'$", re.MULTILINE)
_ALONE: Final = "`kernel install --kind shell` makes a shell kernel of it"


class NoPython(Failure):
    """The image has no python3, so that a shell kernel is what it can have."""


class UnfitPython(Failure):
    """The image has a Python that no kernel can be injected into."""


@dataclass(frozen=True)
class Facts:
    """What an image's Python is; `distributions` are what is installed, by normalised name."""

    implementation: str
    version: tuple[int, int, int]
    threaded: bool
    tag: str
    executable: str
    libc: str
    libc_version: tuple[int, ...]
    """Of two parts for glibc, mostly of three for musl."""
    machine: str
    lacks: tuple[str, ...]
    """Libraries that wheels expect to find, and it cannot load; in the order to load them."""
    ipykernel: bool
    pip: bool
    distributions: Mapping[str, str]
    place: str = ""
    """Where it was found, if not on the image's PATH."""

    @cached_property
    def python(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


def probe(trial: Trial) -> Facts:
    """Ask the image's `python3`, its `python`, or one that is off its PATH, what it is.

    Raises NoPython where there is none, UnfitPython where no kernel can be injected into it, and
    Failure where its answer cannot be understood.
    """
    name, ended = _asked(trial)
    if ended.code:
        raise UnfitPython(_failed(trial.image, ended))
    found = read(ended.stdout, trial.image)
    if name.startswith("/"):
        found = replace(found, place=name)
    return fit(found, trial.image)


def _asked(trial: Trial) -> tuple[str, Ended]:
    """Return the first Python that is there, and what it said."""
    code = ALONE + resources.files("ipycontainer_kernel.inside").joinpath("facts.py").read_text()
    for name in chain(_NAMES, places.off_path(trial)):
        ended = trial.run([name, _ONLY_3, "-c", code], seconds=_SECONDS, limit=_LIMIT)
        if ended.found and not (ended.code and _ONLY_3.encode() in ended.stderr):
            return name, ended
    if trial.run(["/bin/sh", "-c", ""], seconds=_SECONDS, limit=_LIMIT).found:
        raise NoPython(
            f"image {trial.image} has no python3: `-e PATH=FOLDER:…` finds one that is elsewhere,"
            f" and {_ALONE}",
            127,
        )
    raise UnfitPython(
        f"image {trial.image} has no python3 and no /bin/sh, so no kernel runs in it: `-e"
        " PATH=FOLDER:…` finds a python3 that is elsewhere",
        127,
    )


def _failed(image: str, ended: Ended) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
    said = next((line for line in reversed(lines) if "Error: " in line), lines[-1])
    cure = _ALONE
    if astray := _ASTRAY.search(ended.stderr):
        where = astray[1].decode(errors="replace")
        cure = f"its variable PYTHONHOME names {where!r}: `-e PYTHONHOME=` takes that away"
    return (
        f"python3 of image {image} fails (exit code {ended.code}) and says {said[:200]!r}; {cure}"
    )


def read(said: bytes, image: str) -> Facts:
    """Return what it said, if it has the form that it should have; raises Failure otherwise."""
    try:
        # The image's sitecustomize, or a .pth file, may print before it.
        return _facts(json.loads(said.splitlines()[-1]))
    except (IndexError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failure(
            f"python3 of image {image} answers what no Python would ({said[:60]!r}); {_ALONE}"
        ) from error


def fit(facts: Facts, image: str) -> Facts:
    """Return `facts` where ipykernel could run there; raises UnfitPython with the reason."""
    what = f"image {image} has {facts.implementation} {facts.python}"
    newer = "use an image of a newer Python"
    if facts.version < OLDEST:
        raise UnfitPython(f"{what}, and kernels need 3.9 or later: {newer}, or {_ALONE}")
    if facts.ipykernel:
        return facts
    if facts.implementation != "CPython":
        raise UnfitPython(f"{what}, and ipykernel is injected into CPython alone; {_ALONE}")
    if facts.threaded:
        raise UnfitPython(
            f"{what} without a global interpreter lock, for which too few wheels are made: use an"
            f" image of the ordinary {facts.version[0]}.{facts.version[1]}, or install ipykernel in"
            " it"
        )
    if facts.libc not in ("glibc", "musl") or facts.machine not in MACHINES:
        raise UnfitPython(
            f"{what} for {facts.libc or 'an unknown libc'} on {facts.machine}, and wheels are made"
            f" for glibc and musl on {', '.join(MACHINES)}: install ipykernel in it"
        )
    return facts


def normalised(name: str) -> str:
    """Return a distribution's name as indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _facts(data: Mapping[str, Any]) -> Facts:
    major, minor, micro = (_number(part) for part in data["version"])
    libc = _matched(_LIBC, data["libc_version"]) if data["libc"] else "0.0"
    return Facts(
        implementation=_matched(_NAME, data["implementation"]),
        version=(major, minor, micro),
        threaded=data["threaded"] is True,
        tag=_matched(_TAG, data["tag"]) if data["tag"] else "",
        executable=_matched(_PATH, data["executable"]),
        libc=_matched(_NAME, data["libc"]) if data["libc"] else "",
        libc_version=tuple(int(part) for part in libc.split(".")),
        machine=_matched(_NAME, data["machine"]),
        lacks=tuple(name for name in (*LIBRARIES, *CXX_LIBRARIES) if name in data["lacks"]),
        ipykernel=data["ipykernel"] is True,
        pip=data["pip"] is True,
        distributions=dict(_distributions(data["distributions"])),
    )


def _distributions(entries: list[list[str]]) -> list[tuple[str, str]]:
    if len(entries) > _DISTRIBUTIONS:
        raise ValueError("more distributions than anybody installs")
    # What an installer left half done has None for a name, and is nobody's to constrain.
    return [
        (normalised(name), version)
        for name, version in entries
        if _NAME.fullmatch(name) and _VERSION.fullmatch(version)
    ]


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1000:
        raise ValueError(f"{value!r} is no part of a version")
    return value


def _matched(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{str(value)[:40]!r} has not the form it should have")
    return value
