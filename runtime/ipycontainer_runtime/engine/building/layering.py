"""The layers of a stage while it is built: what a step writes, and what the next one stands on.

The story: a step opens a `Delta` over a `Stack`, which gives the mounts of a writable root; once
nothing is mounted any more, `Delta.close` makes a `Layer` of what was written. That is a folder at
once, so that the next step can begin, and a blob a moment later: it is packed and compressed on a
thread meanwhile. `Layer.finished` has what a manifest and a config say of it.
"""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.engine.building.mountpoints import Points, take_away
from ipycontainer_runtime.engine.garbage import Made
from ipycontainer_runtime.engine.threads import to_its_end
from ipycontainer_runtime.engine.unpacking import Local
from ipycontainer_runtime.layers.apply import apply
from ipycontainer_runtime.layers.changes import changes
from ipycontainer_runtime.layers.diff import Packed, write_blob, write_layer
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.snapshot import OverlaySnapshotter, Snapshotter, as_root
from ipycontainer_runtime.layers.upper import Node, walk, walk_upper
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci.runtime import Mount, OverlayOptions
from ipycontainer_runtime.store.blobs import BlobStore, disk_error
from ipycontainer_runtime.store.layers import LayerInfo, LayerStore, Staging

_PACKERS = 2
"""Layers that are packed at a time: each holds some 30 MB of what is on its way."""


class Finished(NamedTuple):
    """What is known of a layer that is packed and unpacked."""

    diff_id: str
    chain_id: str
    blob: model.Descriptor


class _Content(NamedTuple):
    """What a layer has, whatever is below it."""

    info: LayerInfo
    blob: model.Descriptor


class Layer:
    """One layer of a stack: its files are there, its blob may be on its way."""

    def __init__(self, folder: Path, finished: "asyncio.Future[Finished]") -> None:
        self.folder = folder
        """Moves once, when its name is known: to be read under `Layering.still` only."""
        self.finished = finished


Walk = Iterator[tuple[Node, bool]]
Stack = tuple[Layer, ...]
"""Lowest first."""


class Layering:
    """Makes the layers of one build; everything it left unnamed goes when it is closed."""

    def __init__(
        self,
        *,
        layers: LayerStore,
        blobs: BlobStore,
        snapshotter: Snapshotter,
        ownership: Ownership,
        made: Made,
        folder: Path,
        epoch: int | None,
    ) -> None:
        self.layers = layers
        self.ownership = ownership
        self.folder = folder
        """The build's own, for what is not to outlive it."""
        self._blobs = blobs
        self._snapshotter = snapshotter
        self._made = made
        self._epoch = epoch
        self._slots = asyncio.Semaphore(_PACKERS)
        self._still = asyncio.Lock()
        self._left = contextlib.ExitStack()
        self._tasks: list[asyncio.Task[Finished]] = []

    @property
    def copies(self) -> bool:
        """Whether no overlay can be mounted here, so that each root is a copy of its layers."""
        return self._snapshotter.name != OverlaySnapshotter.name

    def known(self, diff_id: str, chain_id: str, blob: model.Descriptor) -> Layer:
        """Return a layer of an image, or of the cache; neither a removal nor a prune takes it."""
        self._made.layers.add(chain_id)
        self._made.blobs.add(blob.digest)
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        finished.set_result(Finished(diff_id, chain_id, blob))
        return Layer(self.layers.diff(chain_id), finished)

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Keep every layer's folder where it is: from naming it in a mount until it is mounted."""
        async with self._still:
            yield

    async def open(self, stack: Stack) -> "Delta":
        """Return the place for what a step writes over `stack`."""
        if not self.copies:
            return Delta(self, stack, self._left.enter_context(self.layers.staging()))
        chain = [(await layer.finished).chain_id for layer in stack]
        staging = self._left.enter_context(self.layers.staging())
        copy = CopiedDelta(self, stack, staging, self._snapshotter, chain)
        await asyncio.to_thread(copy.prepare)
        return copy

    def begin(self, delta: "Delta", stack: Stack) -> Layer:
        """Have what a step wrote packed, and return it as a layer over `stack` at once."""
        return self._begun(delta.staging, stack, self._packed(delta))

    async def again(self, diff_id: str, blob: model.Descriptor, stack: Stack) -> Layer:
        """Return a layer of the cache over a stack that may be another than it was made on.

        A layer's folder is named after all that is below: where that is not here, it is unpacked.
        """
        self._made.blobs.add(blob.digest)
        if not stack or stack[-1].finished.done():
            lower = (await stack[-1].finished).chain_id if stack else ""
            if self.layers.has(chain_id := model.chained(lower, diff_id)):
                return self.known(diff_id, chain_id, blob)
        staging, source = (
            self._left.enter_context(self.layers.staging()),
            Local(self._blobs.path(blob.digest)),
        )
        applied = await to_its_end(
            lambda: apply(source, staging, ownership=self.ownership, diff_id=diff_id),
            source.cancel,
        )
        info = LayerInfo(diff_id, applied.size, applied.implicit)
        ready: asyncio.Future[_Content] = asyncio.get_running_loop().create_future()
        ready.set_result(_Content(info, blob))
        return self._begun(staging, stack, ready)

    def _begun(self, staging: Staging, stack: Stack, content: "Awaitable[_Content]") -> Layer:
        layer = Layer(staging.diff, asyncio.get_running_loop().create_future())
        below = stack[-1] if stack else None
        task = asyncio.create_task(self._finish(layer, staging, below, content))
        layer.finished = task
        self._tasks.append(task)
        return layer

    async def _packed(self, delta: "Delta") -> "_Content":
        async with self._slots:
            try:
                packed = await asyncio.to_thread(delta.pack, self._blobs)
            except OSError as error:
                raise disk_error(error, "cannot write a layer of the build") from error
        self._made.blobs.add(packed.blob.digest)
        blob = model.Descriptor(packed.media_type, packed.blob.digest, packed.blob.size)
        return _Content(LayerInfo(packed.diff_id, packed.size), blob)

    async def _finish(
        self,
        layer: Layer,
        staging: Staging,
        below: Layer | None,
        content: "Awaitable[_Content]",
    ) -> Finished:
        info, blob = await content
        lower = "" if below is None else (await below.finished).chain_id
        chain_id = model.chained(lower, info.diff_id)
        self._made.layers.add(chain_id)
        async with self._still:
            # Where this layer was made before, the steps that stand on it may still use this one,
            # which then goes at the end.
            layer.folder = staging.commit(chain_id, info)
        return Finished(info.diff_id, chain_id, blob)

    def clamp(self, folder: Path) -> None:
        """Take times after SOURCE_DATE_EPOCH back to it: they tell of the build alone."""
        if self._epoch is None:
            return
        latest = self._epoch * 1_000_000_000
        for node, left in walk(folder):
            status = node.status
            if (left or not node.is_folder) and status.st_mtime_ns > latest:
                times = (status.st_atime_ns, latest)
                if node.is_folder:
                    os.utime(node.folder, ns=times)
                else:
                    os.utime(node.leaf, ns=times, dir_fd=node.parent, follow_symlinks=False)

    async def settle(self) -> None:
        """Wait until every layer that was begun is finished, or has failed."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Wait for what is being packed, and discard what has no name."""
        await self.settle()
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # whoever waited for it was told
        self._left.close()


class Delta:
    """What one step writes: the upper folder of an overlay, which becomes a layer as it is."""

    def __init__(self, layering: Layering, stack: Stack, staging: Staging) -> None:
        self.stack = stack
        self.staging = staging
        self.layering = layering
        self._work = staging.diff.parent / "work"
        self.at = staging.diff.parent / "rootfs"
        """An empty folder, where a root can be mounted."""
        for folder in (self._work, self.at):
            folder.mkdir()
        self._shaped = False

    @property
    def _prefix(self) -> bytes:
        return self.layering.ownership.overlay_prefix

    def mounts(self, *, points: bool) -> list[Mount]:
        """Return the root's mounts; `points` has the launcher's mount points laid over the stack.

        To be called, and mounted, under `Layering.still`.
        """
        folders = [layer.folder for layer in reversed(self.stack)]
        layers = self.layering.layers
        if not self._shaped:
            self._shaped = True
            as_root(self.staging.diff, folders[0] if folders else layers.init())
        lower = [layers.init(), *folders] if points else folders
        if not lower:
            lower = [self._nothing()]
        options = OverlayOptions(
            lowerdir=tuple(map(str, lower)),
            upperdir=str(self.staging.diff),
            workdir=str(self._work),
            userxattr=self._prefix == b"user.",
            # Nothing has to reach the disk before the next step: see LayerStore.settle.
            volatile=True,
        )
        shutil.rmtree(self._work / "work" / "incompat", ignore_errors=True)
        return [Mount("overlay", "overlay", "/", options)]

    def _nothing(self) -> Path:
        folder = self.layering.folder / "nothing"
        folder.mkdir(exist_ok=True)
        return folder

    def has_changes(self) -> bool:
        """Tell whether anything was written; a file that was there already was, all the same."""
        if any(not node.is_folder for node, _ in self.walk()):
            return True
        lowers = [layer.folder for layer in reversed(self.stack)]
        found = changes(self.walk(), lowers, self.layering.ownership)
        return next(found, None) is not None

    def walk(self) -> Walk:
        """Walk what was written, in the form of `upper.walk_upper`."""
        return walk_upper(self.staging.diff, self._prefix)

    def close(self) -> bool:
        """Make what was written fit to be a layer; False where nothing was. Nothing is mounted."""
        shutil.rmtree(self._work, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.at.rmdir()
        if not self.has_changes():
            self.discard()
            return False
        self._drop_sockets()
        self.layering.clamp(self.staging.diff)
        return True

    def take_away(self, points: Points) -> None:
        """Remove the mount points that were made for a step; see `mountpoints`."""
        lowers = [layer.folder for layer in reversed(self.stack)]
        take_away(self.staging.diff, lowers, self._prefix, points)

    def discard(self) -> None:
        """Let go of what was written."""
        self.staging.close()

    def _drop_sockets(self) -> None:
        """Remove what no archive can hold, and what in a layer would mean something else."""
        sockets = [n.path for n, _ in self.walk() if stat.S_ISSOCK(n.status.st_mode)]
        for path in sockets:
            (self.staging.diff / os.fsdecode(path)).unlink()

    def pack(self, blobs: BlobStore) -> Packed:
        """Write the layer's blob; on a thread."""
        with blobs.writer() as blob:
            return write_blob(self.walk(), blob=blob, ownership=self.layering.ownership)


class CopiedDelta(Delta):
    """What one step writes where no overlay can be mounted: what differs in a copy of the stack."""

    def __init__(
        self,
        layering: Layering,
        stack: Stack,
        staging: Staging,
        snapshotter: Snapshotter,
        chain: Sequence[str],
    ) -> None:
        super().__init__(layering, stack, staging)
        self._snapshotter = snapshotter
        self._chain = chain
        self._folder = staging.diff.parent / "container"

    def prepare(self) -> None:
        """Copy the layers; on a thread."""
        self._folder.mkdir()
        self._snapshotter.prepare(self._folder, self._chain)

    def mounts(self, *, points: bool) -> list[Mount]:
        """Return the mount of the copy, which has the mount points already."""
        return self._snapshotter.mounts(self._folder, self._chain)

    def take_away(self, points: Points) -> None:
        """Remove the mount points from the copy."""
        lowers = [layer.folder for layer in reversed(self.stack)]
        take_away(self._folder / "copy", lowers, self._prefix, points)

    def walk(self) -> Walk:
        """Walk what differs from the layers."""
        return self._snapshotter.walk(self._folder, self._chain)

    def close(self) -> bool:
        """Unpack what differs as the layer; False where nothing does."""
        if not self.has_changes():
            self.discard()
            return False
        self.layering.clamp(self._folder / "copy")
        return True

    def pack(self, blobs: BlobStore) -> Packed:
        """Write the layer's blob and unpack it; on a thread."""
        with blobs.writer() as blob:
            packed = write_layer(
                self.walk(), blob=blob, staging=self.staging, ownership=self.layering.ownership
            )
        self.layering.layers.trash.discard(self._folder)
        return packed
