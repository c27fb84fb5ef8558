"""The C++ library that wheels for glibc expect to find, for images that have none.

PEP 600 counts libstdc++ to what every system has; Debian without a compiler or apt has it not, and
ZeroMQ is C++. No index has it, so it is this computer's own, where the image's glibc is enough for
it. The kernel loads it by its path, so that no other process of the image finds it.
"""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ipycontainer_kernel.inject.probe import Facts, UnfitPython

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
        if (needed := _needed(found)) > facts.libc_version:
            raise UnfitPython(_cure(name, f"and the one here needs glibc {needed[0]}.{needed[1]}"))
        shutil.copyfile(found, target / name)


def _cure(name: str, why: str) -> str:
    return f"the image lacks {name}, {why}: install it there (Debian's package is libstdc++6)"


def _found(name: str) -> Path | None:
    """Return the file that the loader takes for `name` here."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = (Path(line.split(maxsplit=5)[5]) for line in maps if "/" in line)
    return next((path for path in paths if path.name.startswith(name)), None)


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
