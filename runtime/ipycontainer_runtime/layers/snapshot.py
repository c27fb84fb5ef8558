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
import time
from collections.abc import Iterable, Iterator, Sequence
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
from ipycontainer_runtime.layers.objects import lay_out
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.replicate import replicate
from ipycontainer_runtime.layers.restored import walk_restored
from ipycontainer_runtime.layers.scan import TICK, walk_touched
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, Node, walk_upper
from ipycontainer_runtime.oci.runtime import Mount, OverlayOptions
from ipycontainer_runtime.store.checkpoints import Tree
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

    def touched(
        self, container: Path, chain_ids: Sequence[str], known: Tree, live: Tree
    ) -> Iterator[tuple[Node, bool]]:
        """Walk what the container changed since `known`; the rest may go into `live` at once.

        Of a root that was restored these are the changes since.
        """
        ...

    def restore(
        self, container: Path, chain_ids: Sequence[str], root: Path, tree: Tree, pool: Path
    ) -> None:
        """Make in the empty folder `root` what a container stands on that is restored to `tree`."""
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
        at, base = place(container), base_of(container)
        if transient:
            # The kernel's mark that the last such mount may have lost what it wrote.
            shutil.rmtree(at / "work" / "work" / "incompat", ignore_errors=True)
        layers = map(str, self._below(chain_ids))
        options = OverlayOptions(
            lowerdir=(*([str(base)] if base else []), *layers),
            upperdir=str(at / "upper"),
            workdir=str(at / "work"),
            userxattr=self._userxattr,
            volatile=transient,
            own=bool(base),
        )
        return [Mount("overlay", "overlay", "/", options)]

    def _below(self, chain_ids: Sequence[str]) -> list[Path]:
        return [self._layers.init(), *self.lowers(chain_ids)]

    def walk(self, container: Path, chain_ids: Sequence[str]) -> Iterator[tuple[Node, bool]]:
        """Walk the overlay's upper folder."""
        upper = place(container) / "upper"
        if base := base_of(container):
            return walk_restored(upper, base, self._below(chain_ids), self._prefix)
        return walk_upper(upper, self._prefix)

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the layers' folders, uppermost first, without the mount points' layer."""
        return [self._layers.diff(chain_id) for chain_id in reversed(chain_ids)]

    def usage(self, container: Path, chain_ids: Sequence[str]) -> int:
        """Add up the files of the upper folder; hard links count once."""
        if base_of(container):
            return _walked_size(self.walk(container, chain_ids))
        return tree_size(container / "upper")

    def is_half(self, container: Path) -> bool:
        """Tell whether what is made last is missing."""
        return not (container / "rootfs").exists()

    def graph(self, container: Path, chain_ids: Sequence[str]) -> dict[str, str] | None:
        """Return the overlay's folders; no lower ones when the image was removed by force."""
        lower: list[Path] = []
        with contextlib.suppress(NotFound):
            lower = self.lowers(chain_ids)
        at, base = place(container), base_of(container)
        return {
            "LowerDir": ":".join(map(str, [base, *lower] if base else lower)),
            "MergedDir": f"{container}/rootfs",
            "UpperDir": f"{at}/upper",
            "WorkDir": f"{at}/work",
        }

    def touched(
        self, container: Path, chain_ids: Sequence[str], known: Tree, live: Tree
    ) -> Iterator[tuple[Node, bool]]:
        """Walk what is not in the upper folder as `known` has it."""
        return walk_touched(place(container) / "upper", known, live, self._prefix)

    def restore(
        self, container: Path, chain_ids: Sequence[str], root: Path, tree: Tree, pool: Path
    ) -> None:
        """Make `base` with the tree, a lower folder, and an empty `upper`."""
        lay_out(tree, pool, root / "base", self._prefix)
        for name in ("upper", "work"):
            (root / name).mkdir()
        as_root(root / "upper", root / "base")


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
        return [Mount("bind", str(place(container) / "copy"), "/", ("bind",))]

    def made(self, container: Path) -> bool:
        """Tell whether a container's root is such a copy."""
        return (container / "copied").exists()

    def walk(self, container: Path, chain_ids: Sequence[str]) -> Iterator[tuple[Node, bool]]:
        """Walk what differs from the layers."""
        at = place(container)
        since = (at / "copied").stat().st_ctime_ns
        return walk_changed(at / "copy", self._shown(chain_ids), self._prefix, since)

    def _shown(self, chain_ids: Sequence[str]) -> list[Path]:
        return [self._layers.init(), *self.lowers(chain_ids)]

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the layers' folders, uppermost first, without the mount points' layer."""
        return [self._layers.diff(chain_id) for chain_id in reversed(chain_ids)]

    def usage(self, container: Path, chain_ids: Sequence[str]) -> int:
        """Add up the files that were changed; hard links count once."""
        return _walked_size(self.walk(container, chain_ids))

    def is_half(self, container: Path) -> bool:
        """Tell whether what is made last is missing."""
        return not (container / "rootfs").exists()

    def graph(self, container: Path, chain_ids: Sequence[str]) -> dict[str, str] | None:
        """Return nothing, as Docker's vfs does."""
        return None

    def touched(
        self, container: Path, chain_ids: Sequence[str], known: Tree, live: Tree
    ) -> Iterator[tuple[Node, bool]]:
        """Walk all that differs from the layers."""
        return self.walk(container, chain_ids)

    def restore(
        self, container: Path, chain_ids: Sequence[str], root: Path, tree: Tree, pool: Path
    ) -> None:
        """Make another copy of the layers, and lay the tree over it."""
        replicate(self._shown(chain_ids), root / "copy", self._prefix)
        (root / "copied").touch()
        # What comes from the tree is told from the layers' by its time of change.
        time.sleep(TICK / 1_000_000_000)
        lay_out(tree, pool, root / "copy", self._prefix, whole=True)


def place(container: Path) -> Path:
    """Return the folder that has what a container writes: its own, or that of a restored root."""
    try:
        return container / os.readlink(container / "restored")
    except FileNotFoundError:
        return container


def base_of(container: Path) -> Path | None:
    """Return the tree that an overlay was restored to; None where it never was."""
    at = place(container)
    return None if at == container else at / "base"


def _walked_size(nodes: Iterable[tuple[Node, bool]]) -> int:
    found = {}
    for node, _ in nodes:
        if stat.S_ISREG(node.status.st_mode) and not node.is_whiteout:
            found[node.status.st_ino] = node.status.st_size
    return sum(found.values())


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
