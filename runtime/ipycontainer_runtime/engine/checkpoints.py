"""Checkpoints: what a container changed, kept for later, and given back to it.

A checkpoint has files and no processes: a container that is restored starts anew with the files
that it had. It is frozen while they are looked over, and only what was touched since the last
checkpoint is copied. Docker's own checkpoints are processes and no files, by CRIU.
"""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Collection, Iterable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.layers.objects import Pool
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.scan import TICK, flattened, look_over
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.layers.treechanges import Beneath, TreeChange, compared
from ipycontainer_runtime.linux.mapped import written_in_memory
from ipycontainer_runtime.store.blobs import disk_error
from ipycontainer_runtime.store.checkpoints import Checkpoint, CheckpointStore, Tree
from ipycontainer_runtime.store.layers import LayerStore

LIMIT = 1000
"""Checkpoints of one container: each takes some of its engine's memory while it runs."""
TOLD = 1000
"""Changes that are told of one checkpoint."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


class Checkpoints:
    """The checkpoints of one engine's containers."""

    def __init__(
        self,
        *,
        containers: Containers,
        lifecycle: Lifecycle,
        stopping: Stopping,
        snapshotter: Snapshotter,
        ownership: Ownership,
        cgroups: Cgroups,
        layers: LayerStore,
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._stopping = stopping
        self._snapshotter = snapshotter
        self._prefix = ownership.overlay_prefix
        self._cgroups = cgroups
        self._layers = layers
        self._stores: WeakKeyDictionary[Container, CheckpointStore] = WeakKeyDictionary()
        self._restoring: set[str] = set()

    @contextlib.asynccontextmanager
    async def _held(self, reference: str) -> AsyncIterator[tuple[Container, CheckpointStore]]:
        """Hold a container as it is, with what is known of its checkpoints."""
        container = self._containers.get(reference)
        async with container.lock:
            if container.removing:
                raise NotFound(f"No such container: {reference}")
            store = self._stores.get(container)
            try:
                if store is None:
                    store = await asyncio.to_thread(CheckpointStore, Path(container.folder))
                    self._stores[container] = store
                    self._discard_roots(store)
                yield container, store
            except OSError as error:
                doing = f"cannot reach the checkpoints of container {container.id}"
                raise disk_error(error, doing) from error

    def _discard_roots(self, store: CheckpointStore) -> None:
        for root in store.left_roots():
            self._containers.store.trash.discard(root)

    # -- create

    async def create(
        self, reference: str, name: str = "", *, pause: bool = True, if_changed: bool = False
    ) -> dict[str, Any]:
        """Keep what a container has changed, and tell what that is against the checkpoint before.

        A running container is frozen meanwhile unless `pause` is false, or nothing here can freeze.
        With `if_changed` nothing is kept where there is nothing to tell: Kept is false then.
        Raises InvalidParameter for a name that is none, Conflict for one that is taken.
        """
        if name and not _NAME.fullmatch(name):
            raise InvalidParameter(
                f"Invalid checkpoint name ({name}), only {_NAME.pattern} are allowed"
            )
        async with self._held(reference) as (container, store):
            name = name or _free_name(store)
            self._refuse(container, store, name)
            made = await asyncio.to_thread(self._make, container, store, name, pause, if_changed)
            if made["Kept"]:
                self._containers.publish(container, "checkpoint", checkpoint=name)
        return made

    @staticmethod
    def _refuse(container: Container, store: CheckpointStore, name: str) -> None:
        if store.has(name):
            raise Conflict(
                f"checkpoint with name {name} already exists for container {container.record.name}:"
                " remove it first, or take another name"
            )
        if len(store.all()) >= LIMIT:
            raise Conflict(
                f"container {container.record.name} has {LIMIT} checkpoints already: remove some"
            )

    def _make(
        self,
        container: Container,
        store: CheckpointStore,
        name: str,
        pause: bool,
        if_changed: bool,
    ) -> dict[str, Any]:
        store.prepare()
        folder, chain = Path(container.folder), container.record.chain
        frozen = self._freeze(container) if pause else False
        until = time.time_ns() - TICK
        with Pool(store.pool, store.objects(), until) as pool:
            try:
                live: Tree = {}
                try:
                    nodes = self._snapshotter.touched(folder, chain, store.live, live)
                    look_over(nodes, store.live, live, pool, self._mapped(container))
                finally:
                    if frozen:
                        self._cgroups.thaw(container.cgroup)
                beneath = self._beneath(container, store)
                tree = flattened(store.base, live, beneath.shows)
                changes = _told(container, compared(store.current(), tree, beneath))
                checkpoint = _described(name, store, changes, pool.size)
                kept = bool(changes) or not if_changed
                if kept:
                    store.add(checkpoint, tree, live)
                else:
                    store.forgo(pool.made, live)
            except BaseException:
                store.discard(pool.made)
                raise
        return {
            **_shape(checkpoint, store),
            "Kept": kept,
            "Frozen": frozen or not container.state.running or container.state.paused,
            "Changes": _listed(changes),
        }

    def _freeze(self, container: Container) -> bool:
        if not container.state.running or container.state.paused:
            return False
        try:
            self._cgroups.freeze(container.cgroup)
        except Unavailable:
            return False  # which the answer says
        return True

    def _mapped(self, container: Container) -> Collection[bytes]:
        if not container.state.running:
            return ()
        pids = {container.state.pid, *self._cgroups.hierarchy.open(container.cgroup).pids()}
        return written_in_memory(pids)

    def _beneath(self, container: Container, store: CheckpointStore) -> Beneath:
        lowers = self._snapshotter.lowers(container.record.chain)
        return Beneath([self._layers.init(), *lowers], self._prefix, store.pool)

    # -- look

    async def list(self, reference: str) -> list[dict[str, Any]]:
        """Return a container's checkpoints, oldest first."""
        async with self._held(reference) as (_, store):
            return [_shape(checkpoint, store) for checkpoint in store.all()]

    async def get(self, reference: str, name: str) -> dict[str, Any]:
        """Return one checkpoint with what it changed; NotFound when there is none of this name."""
        async with self._held(reference) as (container, store):
            shape = _shape(store.get(name), store)
            beneath = self._beneath(container, store)
            before, after = store.before(name), store.tree(name)
            changes = await asyncio.to_thread(
                lambda: _told(container, compared(before, after, beneath))
            )
            return {**shape, "Changes": _listed(changes)}

    def size(self, container: Container) -> int:
        """Return the bytes that a container's checkpoints take."""
        store = self._stores.get(container)
        if store is None and Path(container.folder, "checkpoints").exists():
            store = CheckpointStore(Path(container.folder))
        return store.size() if store else 0

    # -- remove and restore

    async def remove(self, reference: str, name: str) -> None:
        """Forget a checkpoint; a root that stands on its files keeps them."""
        async with self._held(reference) as (_, store):
            store.get(name)
            await asyncio.to_thread(store.remove, name)

    async def restore(self, reference: str, name: str, *, start: bool | None = None) -> None:
        """Give a container the files of a checkpoint; one that runs is killed for it.

        It is started then, unless it did not run, or as `start` says. What it has written since is
        gone, unless a later checkpoint has it. Conflict when it is being restored already.
        """
        container = self._containers.get(reference)
        if container.id in self._restoring:
            raise Conflict(f"container {container.id} is being restored already: wait for that")
        self._restoring.add(container.id)
        try:
            await self._restore(container, name, start)
        finally:
            self._restoring.discard(container.id)

    async def _restore(self, container: Container, name: str, start: bool | None) -> None:
        async with self._held(container.id) as (_, store):
            tree = store.tree(name)
            root = store.new_root()
            try:
                await asyncio.to_thread(self._fill, container, store, root, tree, name)
            except BaseException:
                self._containers.store.trash.discard(root)
                raise
        ran = container.state.active

        async def switch() -> None:
            async with self._held(container.id) as (_, store):
                if container.state.active:
                    raise Conflict(f"container {container.id} was started meanwhile: stop it first")
                store.stand_on(name, tree)
                self._discard_old(container, store)
            self._containers.publish(container, "restore", checkpoint=name)

        if ran:
            await self._stopping.restart(
                container.id, 0, "SIGKILL", between=switch, start=start is not False
            )
            return
        await switch()
        if start:
            await self._lifecycle.start(container.id)

    def _fill(
        self, container: Container, store: CheckpointStore, root: Path, tree: Tree, name: str
    ) -> None:
        chain = container.record.chain
        self._snapshotter.restore(Path(container.folder), chain, root, tree, store.pool)
        store.make_ready(root, name, tree)

    def _discard_old(self, container: Container, store: CheckpointStore) -> None:
        self._discard_roots(store)
        for name in ("upper", "work", "copy"):
            self._containers.store.trash.discard(Path(container.folder, name))


def _free_name(store: CheckpointStore) -> str:
    number = store.number()
    while store.has(f"checkpoint-{number}"):
        number += 1
    return f"checkpoint-{number}"


def _told(container: Container, changes: "Iterable[TreeChange]") -> "list[TreeChange]":
    """Return changes without the container's mount points: each start makes those, and no person.

    What is mounted there hides them.
    """
    points = {os.fsencode(point.destination[1:]) for point in container.record.mounts}
    return [change for change in changes if change.path not in points]


def _described(
    name: str, store: CheckpointStore, changes: "list[TreeChange]", size: int
) -> Checkpoint:
    kinds = [change.kind for change in changes]
    return Checkpoint(
        name=name,
        number=store.number(),
        created=rfc3339(time.time_ns()),
        root=store.root,
        parent=store.at,
        added=kinds.count("added"),
        changed=kinds.count("changed"),
        deleted=kinds.count("deleted"),
        size=size,
    )


def _shape(checkpoint: Checkpoint, store: CheckpointStore) -> dict[str, Any]:
    return {
        "Name": checkpoint.name,
        "Created": checkpoint.created,
        "Parent": checkpoint.parent,
        "Current": checkpoint.name == store.at,
        "Added": checkpoint.added,
        "Changed": checkpoint.changed,
        "Deleted": checkpoint.deleted,
        "Size": checkpoint.size,
    }


def _listed(changes: "list[TreeChange]") -> "list[dict[str, Any]]":
    return [
        {
            "Path": "/" + change.path.decode(errors="replace"),
            "Kind": change.kind,
            "Size": change.size,
        }
        for change in sorted(changes)[:TOLD]
    ]
