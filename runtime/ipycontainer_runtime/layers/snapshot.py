"""Where a container's root comes from.

The story: a container is created from an image's layers; `prepare` makes what it writes into.
Each start asks `mounts` for what to mount as its root. `changes` and a commit read `upper`.
When the container is removed, `remove` frees everything.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.oci.runtime import Mount, OverlayOptions
from ipycontainer_runtime.store.layers import LayerStore


class Snapshotter(Protocol):
    """The seam: a writable root over unpacked layers. `chain_ids` are the image's, lowest first."""

    name: str
    """How `info` calls the storage driver."""

    def prepare(self, container: Path, chain_ids: Sequence[str]) -> list[Mount]:
        """Make the container's own folders and return the mounts of its root."""
        ...

    def mounts(
        self, container: Path, chain_ids: Sequence[str], *, transient: bool = False
    ) -> list[Mount]:
        """Return the mounts of a prepared container's root.

        What is written to a `transient` one goes with its container, and need not reach the disk.
        """
        ...

    def upper(self, container: Path) -> Path:
        """Return the folder that holds what the container changed."""
        ...

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the folders that the changes are to be compared with, uppermost first."""
        ...

    def usage(self, container: Path) -> int:
        """Return the bytes of the files that the container changed."""
        ...

    def remove(self, container: Path) -> None:
        """Delete what the container wrote; what is gone already is success."""
        ...


class OverlaySnapshotter:
    """Overlay: the layers' folders below, `upper` and `work` of the container's folder above."""

    name = "overlay"

    def __init__(self, layers: LayerStore, ownership: Ownership) -> None:
        self._layers = layers
        self._userxattr = ownership.overlay_prefix == b"user."

    def prepare(self, container: Path, chain_ids: Sequence[str]) -> list[Mount]:
        """Make `upper`, `work` and `rootfs`; NotFound when a layer is not unpacked."""
        mounts = self.mounts(container, chain_ids)
        for name in ("upper", "work", "rootfs"):
            (container / name).mkdir(exist_ok=True)
        # An overlay's root has the mode, owner and time of its upper folder, not of the image's.
        upper = container / "upper"
        root = (self._layers.diff(chain_ids[-1]) if chain_ids else self._layers.init()).stat()
        os.chown(upper, root.st_uid, root.st_gid)
        upper.chmod(root.st_mode & 0o7777)
        os.utime(upper, ns=(root.st_mtime_ns, root.st_mtime_ns))
        return mounts

    def mounts(
        self, container: Path, chain_ids: Sequence[str], *, transient: bool = False
    ) -> list[Mount]:
        """Return one overlay mount, with the mount points' layer over the image's.

        The unmount of an overlay waits until the disk has what was written to it (and to all of
        the upper's file system), and so does the end of the container; a transient one does not.
        """
        if transient:
            # The kernel's mark that the last such mount may have lost what it wrote.
            shutil.rmtree(container / "work" / "work" / "incompat", ignore_errors=True)
        options = OverlayOptions(
            lowerdir=(str(self._layers.init()), *map(str, self.lowers(chain_ids))),
            upperdir=str(container / "upper"),
            workdir=str(container / "work"),
            userxattr=self._userxattr,
            volatile=transient,
        )
        return [Mount("overlay", "overlay", "/", options)]

    def upper(self, container: Path) -> Path:
        """Return the overlay's upper folder."""
        return container / "upper"

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the layers' folders, uppermost first, without the mount points' layer."""
        return [self._layers.diff(chain_id) for chain_id in reversed(chain_ids)]

    def usage(self, container: Path) -> int:
        """Add up the files of the upper folder; hard links count once."""
        return tree_size(self.upper(container))

    def remove(self, container: Path) -> None:
        """Delete the three folders. The root must be unmounted."""
        for name in ("upper", "work", "rootfs"):
            shutil.rmtree(container / name, ignore_errors=True)


def tree_size(folder: Path) -> int:
    """Return the bytes of a tree's regular files; hard links count once."""
    total, seen, pending = 0, set[int](), [os.fspath(folder)]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink == 1 or status.st_ino not in seen:
                        total += status.st_size
                        seen.add(status.st_ino)
    return total
