"""Files out of a container as an archive, and an archive into its files; always in a `View`.

The names in an archive and what a path means are those of Docker's engine:
https://docs.docker.com/reference/api/engine/version/v1.50/#tag/Container/operation/ContainerArchive
"""

import base64
import os
import posixpath
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from ipycontainer_runtime.errors import Forbidden, InvalidParameter
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pack import Packing
from ipycontainer_runtime.layers.tarread import DEFAULT_LIMITS, FOLDER, Entry
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.layers.untar import unpack
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, Node, remove_tree, walk
from ipycontainer_runtime.layers.view import Found, View

# How Go's os.FileMode, in which clients are told a mode, has what the kernel has elsewhere.
_GO_BITS = {
    stat.S_ISVTX: 1 << 20,
    stat.S_ISGID: 1 << 22,
    stat.S_ISUID: 1 << 23,
}
_GO_TYPES = {
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFDIR: 1 << 31,
}


class PathStat(msgspec.Struct, rename="camel"):
    """What a path of a container is, in the Engine API's words."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str

    def header(self) -> str:
        """Return the value of X-Docker-Container-Path-Stat."""
        return base64.b64encode(msgspec.json.encode(self)).decode()


def absolute(path: str) -> str:
    """Return a path from the container's root, with the final `/` or `/.` that it was given.

    Those ask for what a folder holds, and for what a link leads to.
    """
    clean = posixpath.normpath("/" + path.lstrip("/"))
    for ending in ("/.", "/"):
        if path.endswith(ending):
            return clean.rstrip("/") + ending
    return clean + "/." if path == "." else clean


def path_stat(view: View, path: str, found: Found, mtime: Callable[[int], str]) -> PathStat:
    """Describe what `View.find` found at an absolute path."""
    mode = found.status.st_mode
    go = stat.S_IMODE(mode) & 0o777 | _GO_TYPES.get(stat.S_IFMT(mode), 0)
    for bit, of_go in _GO_BITS.items():
        go |= of_go if mode & bit else 0
    return PathStat(
        name=_base(path),
        size=found.status.st_size,
        mode=go,
        mtime=mtime(found.status.st_mtime_ns),
        link_target=view.link_target(path, found),
    )


def _base(path: str) -> str:
    """Return what Go's filepath.Base makes of a path."""
    return posixpath.basename(path.rstrip("/")) or "/"


def write_archive(
    found: Found, name: str, ownership: Ownership, put: Callable[[bytes], None]
) -> None:
    """Write what was found, and all below it, as an archive whose names begin with `name`.

    `put` is given the archive in large chunks; what it raises ends the walk.
    """
    tar = TarWriter(put)
    packing, top = Packing(tar, ownership), os.fsencode(name)
    if not stat.S_ISDIR(found.status.st_mode):
        packing.add(Node(top, os.fsencode(found.leaf), found.parent, found.status))
    else:
        folder = os.open(found.leaf, OPEN_FOLDER, dir_fd=found.parent)
        try:
            _write_tree(folder, top, packing, itself=True)
        finally:
            os.close(folder)
    tar.close()


def write_export(view: View, ownership: Ownership, put: Callable[[bytes], None]) -> None:
    """Write the whole root, without an entry for itself, as `docker export` has it."""
    tar = TarWriter(put)
    folder = view.folder("/")
    try:
        _write_tree(folder, b"", Packing(tar, ownership), itself=False)
    finally:
        os.close(folder)
    tar.close()


def _write_tree(folder: int, top: bytes, packing: Packing, *, itself: bool) -> None:
    for node, left in walk(folder, top):
        if not left and (itself or node.path != top):
            packing.add(node)


class CopyIn(NamedTuple):
    """How an archive is to be put into a container."""

    path: str
    """The folder it goes into, absolute."""
    keep_kinds: bool = False
    """Whether a folder may not become something else, nor something else a folder."""
    owner: tuple[int, int] | None = None
    """Ids of the container for all of it, in place of the archive's."""


class LiveFiles(NamedTuple):
    """A container's files, which somebody else may change meanwhile; see `untar.Ground`."""

    base: bytes
    asked: CopyIn
    is_layer: bool = False

    def owner(self, entry: Entry) -> tuple[int, int]:
        """Return the ids that were asked for, else the archive's."""
        return self.asked.owner or (entry.uid, entry.gid)

    def check_replaced(self, entry: Entry) -> None:
        """Refuse what `keep_kinds` rules out."""
        if self.asked.keep_kinds:
            kinds = ("non-directory", "directory")
            old, new = kinds if entry.type == FOLDER else reversed(kinds)
            name = posixpath.join(self.asked.path, entry.name.decode(errors="replace").strip("/"))
            raise InvalidParameter(
                f'cannot overwrite {old} "{name}" with {new}: '
                "remove it first, or copy to another name"
            )

    def remove_folder(self, parent: int, leaf: bytes) -> None:
        """Empty and remove it by descriptors; a container can nest folders deeper than a stack."""
        remove_tree(parent, leaf)


def read_archive(
    view: View, asked: CopyIn, ownership: Ownership, chunks: Iterable[bytes], *, readonly: bool
) -> None:
    """Unpack an archive into a folder of the container, on the view's own thread.

    `readonly` says that its root is. Forbidden when nothing may be written there, Corrupt for a
    malformed or hostile archive; what was unpacked until then stays.
    """
    folder = view.folder(asked.path)
    try:
        if os.fstatvfs(folder).f_flag & os.ST_RDONLY and view.is_mounted(folder):
            raise Forbidden("mounted volume is marked read-only")
        if readonly and not view.is_mounted(folder):
            raise Forbidden("container rootfs is marked read-only")
        base = os.fsencode(view.name(folder).strip("/"))
    finally:
        os.close(folder)
    unpack(chunks, view.fd, ownership, LiveFiles(base, asked), DEFAULT_LIMITS)
