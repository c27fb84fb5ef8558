"""The shared libraries that programs load, found as the dynamic linker finds them (ld.so(8))."""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from ipycontainer_runtime.capture.tree import Tree

MAGIC = b"\x7fELF"
# Loaded by name at run time, so that no header tells of them: threads that are cancelled, names.
# Then what compiled distributions share: it stays in the lowest layer, whichever come and go.
# Wheels that are installed later count on the C library being there in all its parts (PEP 600),
# although since glibc 2.34 most of them are empty.
ALWAYS = (
    *("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"),
    *("libstdc++.so.6", "libz.so.1", "libgomp.so.1"),
    *("libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
)
# The entries that matter, and the attribute in which pyelftools puts the text of each.
TAGS = {"DT_NEEDED": "needed", "DT_RUNPATH": "runpath", "DT_RPATH": "rpath"}
LDCONFIG = ("/sbin/ldconfig", "/usr/sbin/ldconfig")
CONFIGURATION = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")


class Needs(NamedTuple):
    """What one program or library asks the dynamic linker for."""

    loader: str | None
    names: tuple[str, ...]
    folders: tuple[str, ...]
    """Where it wants them looked for, `$ORIGIN` resolved."""


class Libraries:
    """Finds libraries for several layers, reading each file once."""

    def __init__(self) -> None:
        self._known = _known_libraries()
        self._needs: dict[str, Needs] = {}

    def always(self) -> list[str]:
        """Return those that belong to any system."""
        return [self._known[name] for name in ALWAYS if name in self._known]

    def needed(self, paths: Iterable[str]) -> list[str]:
        """Return every library that the programs among `paths` load, and those load in turn.

        They are named as the linker finds them, so each may be a symlink.
        """
        pending = [path for path in paths if _may_be_elf(path) and _is_elf(path)]
        seen, found = set(pending), dict[str, None]()
        while pending:
            needs = self._read(os.path.realpath(pending.pop()))
            wanted = [needs.loader] if needs.loader else []
            wanted += [p for n in needs.names if (p := _find(n, needs.folders, self._known))]
            # Else a program could name any file as its loader, somebody's key for one.
            for path in (p for p in wanted if p in seen or _is_library(p)):
                found[path] = None
                if path not in seen:
                    seen.add(path)
                    pending.append(path)
        return sorted(found)

    def _read(self, path: str) -> Needs:
        if path not in self._needs:
            self._needs[path] = read(path)
        return self._needs[path]


def configure(tree: Tree) -> None:
    """Add what tells the linker where libraries are."""
    for path in CONFIGURATION:
        tree.add_folder(path, lambda _path, _folder: False)


def read(path: str) -> Needs:
    """Return what an ELF file needs; nothing for a static one, or one that is broken."""
    loader: str | None = None
    said: dict[str, list[str]] = {name: [] for name in TAGS}
    try:
        with _parsed(path) as elf:
            for segment in elf.iter_segments():
                if isinstance(segment, InterpSegment):
                    loader = segment.get_interp_name()
                elif isinstance(segment, DynamicSegment):
                    for tag in segment.iter_tags():
                        if attribute := TAGS.get(tag.entry.d_tag):
                            said[tag.entry.d_tag].append(getattr(tag, attribute))
    except (ELFError, OSError):
        return Needs(None, (), ())
    origin = os.path.dirname(path)
    split = [part for folder in said["DT_RUNPATH"] + said["DT_RPATH"] for part in folder.split(":")]
    resolved = [p.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for p in split if p]
    return Needs(loader, tuple(said["DT_NEEDED"]), tuple(map(os.path.normpath, resolved)))


@contextlib.contextmanager
def _parsed(path: str) -> Iterator[ELFFile]:
    """Give an ELF file, of which no memory is left afterwards. Raises ELFError, OSError."""
    with open(path, "rb") as file:
        elf = ELFFile(file)
        try:
            yield elf
        finally:
            # These hold each other: 80 kB a file, which only the garbage collector would find.
            vars(elf.structs).clear()


def _find(name: str, folders: Iterable[str], known: dict[str, str]) -> str | None:
    if "/" in name:
        return name
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    return known.get(name)


def _known_libraries() -> dict[str, str]:
    """Return the libraries of the linker's cache by name, those of this machine's kind first."""
    ldconfig = next((p for p in LDCONFIG if os.path.exists(p)), None)
    if ldconfig is None:
        return {}
    done = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True)
    known: dict[str, str] = {}
    wide = "64"
    for line in done.stdout.splitlines():
        name, _, rest = line.strip().partition(" ")
        kind, arrow, path = rest.partition(" => ")
        if arrow and (wide in kind or name not in known):
            known.setdefault(name, path)
    return known


def _may_be_elf(path: str) -> bool:
    # Programs are executable and extension modules are named so; the rest need not be opened.
    return ".so" in os.path.basename(path) or os.access(path, os.X_OK)


def _is_library(path: str) -> bool:
    return os.path.isabs(path) and os.path.isfile(path) and _is_elf(path)


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False
