"""RUN --mount=type=bind: a folder or a file of the context, a stage or an image, as it is there.

A folder of layers is the same folder of each, merged as the kernel merges the layers: so it is
mounted as an overlay of its own, with nothing copied, and what is written to it has a place that
is thrown away. Where that cannot be, it is copied.
"""

import asyncio
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ipycontainer_runtime.build.instructions import Mount as Asked
from ipycontainer_runtime.engine.building.layering import Layering, Stack
from ipycontainer_runtime.engine.building.sources import Selection, Wanted, literal, select
from ipycontainer_runtime.layers.merged import look_up
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pack import Packing
from ipycontainer_runtime.layers.pipe import Feed, Work
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.layers.untar import untar
from ipycontainer_runtime.oci.runtime import Mount

_LONGEST_OPTION = 255
"""Bytes of one string that fsconfig(2) takes."""
_APPENDING = (6, 8)
"""The Linux whose overlay takes layers one by one, by name."""


@dataclass(frozen=True)
class Bound:
    """What a bind shows: found in its root, and known by its content."""

    selection: Selection
    digest: str

    def copy_to(self, folder: Path, layering: Layering) -> None:
        """Copy a folder's contents, or a file under its name, into an empty folder."""
        feed = Feed()

        def pack() -> None:
            try:
                tar = TarWriter(feed.put)
                packing = Packing(tar, layering.ownership)
                for one in self.selection.chosen:
                    for node in self.selection.nodes(one, "" if one.is_folder else one.name):
                        packing.add(node)
                tar.close()
            finally:
                feed.end()

        def unpack() -> None:
            untar(feed, folder, ownership=layering.ownership, trash=layering.layers.trash)

        packed, unpacked = Work("tar", pack), Work("untar", unpack)
        try:
            unpacked.result()
        finally:
            feed.stop()
            packed.join()
        packed.result()


def bound(root: int, source: str, ownership: Ownership) -> Bound:
    """Find a source in its root; NotFound when it is not there."""
    selection = select(root, Wanted("RUN --mount", (literal(source),), place="the mount's source"))
    return Bound(selection, selection.digest(ownership, ids=True))


async def shown(
    source: Bound,
    mount: Asked,
    target: str,
    layering: Layering,
    stack: Stack | None,
    context: Path,
    scratch: Path,
) -> Mount:
    """Return the mount of a bind; `stack` are the layers of its origin, None for the context."""
    (one,) = source.selection.chosen
    options = ("rbind", "rprivate", *(("ro",) if mount.read_only else ()))
    folders = _folders(one.real, layering, stack, context)
    if one.is_folder and (made := _overlay(folders, target, mount, layering, scratch)) is not None:
        return made
    copy = Path(tempfile.mkdtemp(prefix="copy-", dir=scratch))
    copy.chmod(0o755)
    await asyncio.to_thread(source.copy_to, copy, layering)
    if not one.is_folder:
        return Mount("bind", str(copy / one.name), target, options)
    shutil.copystat(folders[0], copy)
    return Mount("bind", str(copy), target, options)


def _folders(path: str, layering: Layering, stack: Stack | None, context: Path) -> Sequence[bytes]:
    """Return the folders that are merged at a path, uppermost first."""
    if stack is None:
        return [os.fsencode(context / path)]
    prefix = layering.ownership.overlay_prefix
    folders: Sequence[bytes] = [os.fsencode(layer.folder) for layer in reversed(stack)]
    for name in filter(None, path.split("/")):
        folders = look_up(folders, os.fsencode(name), prefix).folders
    return folders


def _overlay(
    folders: Sequence[bytes], target: str, mount: Asked, layering: Layering, scratch: Path
) -> Mount | None:
    """Return an overlay of folders with a place for what is written; None where it cannot be."""
    if layering.copies or not folders or not _appends():
        return None
    upper, work = scratch / "upper", scratch / "work"
    named = [*(os.fsdecode(folder) for folder in folders), str(upper), str(work)]
    if any(len(os.fsencode(name)) > _LONGEST_OPTION or "=" in name for name in named):
        return None
    for folder in (upper, work):
        folder.mkdir()
    shutil.copystat(folders[0], os.fsencode(upper))
    status = os.stat(folders[0])
    os.chown(upper, status.st_uid, status.st_gid)
    options = (
        *(f"lowerdir+={name}" for name in named[:-2]),
        f"upperdir={upper}",
        f"workdir={work}",
        "index=off",
        "volatile",
        *(("userxattr",) if layering.ownership.overlay_prefix == b"user." else ()),
        "nodev",
        *(("ro",) if mount.read_only else ()),
    )
    return Mount("overlay", "overlay", target, options)


def _appends() -> bool:
    numbers = platform.release().split("-")[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit()) >= _APPENDING
