"""The libraries that wheels for glibc expect to find, for images that lack some.

PEP 600 counts libstdc++ to what every system has; Debian without a compiler or apt has it not, and
ZeroMQ is C++. An image with the libraries of one program alone may lack parts of glibc too. No
index has them, so they are this computer's own, where they fit the image's glibc. The kernel
loads them by their paths, so that no other process of the image finds them.
"""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ipycontainer_kernel.inject.probe import LIBRARIES, Facts, UnfitPython

_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)")


def copy(facts: Facts, target: Path) -> None:
    """Copy what the image lacks into `target`; raises UnfitPython where it would not load there."""
    if not facts.lacks or facts.libc != "glibc":
        return
    target.mkdir()
    for name in facts.lacks:
        found = _found(name)
        if found is None or platform.machine() != facts.machine:
            raise UnfitPython(_cure(name, "and this computer has none for it"))
        if name in LIBRARIES and _own_glibc() != facts.libc_version:
            raise UnfitPython(_cure(name, "a part of its own glibc"))
        if (needed := _needed(found)) > facts.libc_version:
            raise UnfitPython(_cure(name, f"and the one here needs glibc {needed[0]}.{needed[1]}"))
        shutil.copyfile(found, target / name)


def _cure(name: str, why: str) -> str:
    package = "libc6" if name in LIBRARIES else "libstdc++6"
    return f"the image lacks {name}, {why}: install it there (Debian's package is {package})"


def _found(name: str) -> Path | None:
    """Return the file that the loader takes for `name` here."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = (Path(line.split(maxsplit=5)[5]) for line in maps if "/" in line)
    return next((path for path in paths if path.name.startswith(name)), None)


def _own_glibc() -> tuple[int, ...]:
    return tuple(map(int, platform.libc_ver()[1].split(".")[:2]))


def _needed(library: Path) -> tuple[int, int]:
    """Return the newest version of glibc whose symbols `library` names."""
    return max(_versions(library), default=(0, 0))


def _versions(library: Path) -> Iterator[tuple[int, int]]:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    with library.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for _, auxiliaries in section.iter_versions():
                    for one in auxiliaries:
                        if match := _GLIBC.fullmatch(one.name):
                            yield int(match[1]), int(match[2])
