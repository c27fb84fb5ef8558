"""Where a container's root comes from.

The story: a container is created from an image's layers; `prepare` makes what it writes into.
Each start asks `mounts` for what to mount as its root. `diff` and a commit follow `walk`, which
meets only what the container changed. When the container is removed, its folder is.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.launch.syscalls import (
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    openat2,
)
from ipycontainer_runtime.layers.copied import walk_changed
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.replicate import replicate
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, Node, walk_upper
from ipycontainer_runtime.oci.runtime import Mount, OverlayOptions
from ipycontainer_runtime.store.layers import LayerStore


class Snapshotter(Protocol):
    """The seam: a writable root over unpacked layers. `chain_ids` are the image's, lowest first."""

    name: str
    """How `info` calls the storage driver."""
    slow: bool
    """Whether `prepare` is so slow that a thread is to do it."""

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

    def walk(self, container: Path, chain_ids: Sequence[str]) -> Iterator[tuple[Node, bool]]:
        """Yield what the container changed, in the form of `upper.walk_upper`."""
        ...

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the folders that the changes are to be compared with, uppermost first."""
        ...

    def usage(self, container: Path, chain_ids: Sequence[str]) -> int:
        """Return the bytes of the files that the container changed."""
        ...

    def is_half(self, container: Path) -> bool:
        """Tell whether an engine was killed while it prepared this container."""
        ...

    def graph(self, container: Path, chain_ids: Sequence[str]) -> dict[str, str] | None:
        """Return what `inspect` tells of the root, in the words of Docker's driver."""
        ...


class OverlaySnapshotter:
    """Overlay: the layers' folders below, `upper` and `work` of the container's folder above."""

    name = "overlay2"
    slow = False

    def __init__(self, layers: LayerStore, ownership: Ownership) -> None:
        self._layers = layers
        self._prefix = ownership.overlay_prefix
        self._userxattr = ownership.overlay_prefix == b"user."

    def prepare(self, container: Path, chain_ids: Sequence[str]) -> list[Mount]:
        """Make `upper`, `work` and `rootfs`; NotFound when a layer is not unpacked."""
        mounts = self.mounts(container, chain_ids)
        for name in ("upper", "work"):
            (container / name).mkdir(exist_ok=True)
        # An overlay's root has the mode, owner and time of its upper folder, not of the image's.
        as_root(
            container / "upper", self.lowers(chain_ids)[0] if chain_ids else self._layers.init()
        )
        (container / "rootfs").mkdir(exist_ok=True)
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

    def walk(self, container: Path, chain_ids: Sequence[str]) -> Iterator[tuple[Node, bool]]:
        """Walk the overlay's upper folder."""
        return walk_upper(container / "upper", self._prefix)

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the layers' folders, uppermost first, without the mount points' layer."""
        return [self._layers.diff(chain_id) for chain_id in reversed(chain_ids)]

    def usage(self, container: Path, chain_ids: Sequence[str]) -> int:
        """Add up the files of the upper folder; hard links count once."""
        return tree_size(container / "upper")

    def is_half(self, container: Path) -> bool:
        """Tell whether what is made last is missing."""
        return not (container / "rootfs").exists()

    def graph(self, container: Path, chain_ids: Sequence[str]) -> dict[str, str] | None:
        """Return the overlay's folders; no lower ones when the image was removed by force."""
        lower: list[Path] = []
        with contextlib.suppress(NotFound):
            lower = self.lowers(chain_ids)
        return {
            "LowerDir": ":".join(map(str, lower)),
            "MergedDir": f"{container}/rootfs",
            "UpperDir": f"{container}/upper",
            "WorkDir": f"{container}/work",
        }


class CopySnapshotter:
    """A copy of all layers in the container's folder, where no overlay can be mounted.

    What was changed is found by comparing the copy with the layers. The mark `copied` has the time
    at which the copy was whole.
    """

    name = "copy"
    slow = True

    def __init__(self, layers: LayerStore, ownership: Ownership) -> None:
        self._layers = layers
        self._prefix = ownership.overlay_prefix

    def prepare(self, container: Path, chain_ids: Sequence[str]) -> list[Mount]:
        """Copy the layers; NotFound when one is not unpacked."""
        replicate(self._shown(chain_ids), container / "copy", self._prefix)
        as_root(container / "copy", self.lowers(chain_ids)[0] if chain_ids else self._layers.init())
        (container / "copied").touch()
        (container / "rootfs").mkdir()
        return self.mounts(container, chain_ids)

    def mounts(
        self, container: Path, chain_ids: Sequence[str], *, transient: bool = False
    ) -> list[Mount]:
        """Return one bind mount of the copy."""
        return [Mount("bind", str(container / "copy"), "/", ("bind",))]

    def made(self, container: Path) -> bool:
        """Tell whether a container's root is such a copy."""
        return (container / "copied").exists()

    def walk(self, container: Path, chain_ids: Sequence[str]) -> Iterator[tuple[Node, bool]]:
        """Walk what differs from the layers."""
        since = (container / "copied").stat().st_ctime_ns
        return walk_changed(container / "copy", self._shown(chain_ids), self._prefix, since)

    def _shown(self, chain_ids: Sequence[str]) -> list[Path]:
        return [self._layers.init(), *self.lowers(chain_ids)]

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the layers' folders, uppermost first, without the mount points' layer."""
        return [self._layers.diff(chain_id) for chain_id in reversed(chain_ids)]

    def usage(self, container: Path, chain_ids: Sequence[str]) -> int:
        """Add up the files that were changed; hard links count once."""
        found = {}
        for node, _ in self.walk(container, chain_ids):
            if stat.S_ISREG(node.status.st_mode) and not node.is_whiteout:
                found[node.status.st_ino] = node.status.st_size
        return sum(found.values())

    def is_half(self, container: Path) -> bool:
        """Tell whether what is made last is missing."""
        return not (container / "rootfs").exists()

    def graph(self, container: Path, chain_ids: Sequence[str]) -> dict[str, str] | None:
        """Return nothing, as Docker's vfs does."""
        return None


def read_only(mount: Mount) -> Mount:
    """Return the root of a new container without the folder that it is written to, if it can be.

    The unmount of that would wait for all of the folder's file system to be on the disk.
    """
    if not isinstance(mount.options, OverlayOptions) or len(mount.options.lowerdir) < 2:
        return mount
    options = msgspec.structs.replace(mount.options, upperdir="", workdir="", volatile=False)
    return msgspec.structs.replace(mount, options=options)


def as_root(folder: Path, like: Path) -> None:
    """Give a folder the mode, owner and time of an image's root, as its uppermost layer has it."""
    root = like.stat()
    os.chown(folder, root.st_uid, root.st_gid)
    folder.chmod(root.st_mode & 0o7777)
    os.utime(folder, ns=(root.st_mtime_ns, root.st_mtime_ns))


def tree_size(folder: Path) -> int:
    """Return the bytes of a tree's regular files; hard links count once.

    A container may write to it meanwhile: no link that it makes leads out, and what it nests deeper
    than a path is long is not counted.
    """
    total, seen, pending = 0, set[int](), ["."]
    try:
        top = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        while pending:
            path = pending.pop()
            for name, status in _entries(top, path):
                if status is None:
                    pending.append(f"{path}/{name}")
                elif status.st_nlink == 1 or status.st_ino not in seen:
                    total += status.st_size
                    seen.add(status.st_ino)
    finally:
        os.close(top)
    return total


def _entries(top: int, path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield the folders in one, with None, and the regular files; nothing that has gone."""
    try:
        opened = openat2(top, path, OPEN_FOLDER, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return
        raise
    try:
        with os.scandir(opened) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name, None
                elif entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, entry.stat(follow_symlinks=False)
    finally:
        os.close(opened)
