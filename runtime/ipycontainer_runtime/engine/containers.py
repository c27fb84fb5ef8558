"""The use cases of containers that do not run anything: create, find, list, inspect, rename."""

import asyncio
import builtins
import contextlib
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ipycontainer_runtime.engine import sweeping
from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.annotations import requires_limits
from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container, Ended
from ipycontainer_runtime.engine.create import (
    CreateBody,
    check_host,
    complete,
    creation_warnings,
    merged,
)
from ipycontainer_runtime.engine.describe import inspection, summary
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.images import Use
from ipycontainer_runtime.engine.joining import resolve
from ipycontainer_runtime.engine.listing import select
from ipycontainer_runtime.engine.moments import Span, decoded
from ipycontainer_runtime.engine.names import checked_name, random_name
from ipycontainer_runtime.engine.namespaces import donor_of
from ipycontainer_runtime.engine.networks.asked import check_conflicts
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.networks.places import check_published, places
from ipycontainer_runtime.engine.resources import limits
from ipycontainer_runtime.engine.runtimes import check_powers
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.engine.users import free_range, give_root, has_own_users, shown_as_nobodys
from ipycontainer_runtime.engine.volumes.attaching import Attaching
from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.layers.diff import changes
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.snapshot import OverlaySnapshotter, Snapshotter, read_only
from ipycontainer_runtime.layers.view import Source
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.store.containers import ContainerStore
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore
from ipycontainer_runtime.store.records import Config, HostConfig, IdRange, Record, State

_FILLING = "filling"
"""A file of a container's folder for as long as its volumes may not be filled."""

_SWEEP_DELAY = 0.2
"""Seconds after a removal before its files go: the next command comes first."""

_LIMIT = re.compile(r"Your kernel does not support ([^.]+?)(?: capabilities)?(?: or the|\.).*")
"""A warning of `Hierarchy.missing`, with what it is about."""


class Created(NamedTuple):
    """A new container, and what its person should know of it."""

    id: str
    warnings: list[str]


class Containers:
    """Every container of this engine, by the names that people give them."""

    def __init__(
        self,
        *,
        store: ContainerStore,
        image_store: ImageStore,
        layers: LayerStore,
        snapshotter: Snapshotter,
        ownership: Ownership,
        cgroups: Cgroups,
        events: Events,
        activity: Activity,
        attaching: Attaching,
        grade: Grade,
        networks: Networks,
    ) -> None:
        self.store = store
        self._networks = networks
        self._grade = grade
        self._untold = grade.warnings()
        self._told: set[str] = set()
        self._images = image_store
        self._layers = layers
        self._snapshotter = snapshotter
        self._ownership = ownership
        self._cgroups = cgroups
        self._events = events
        self._activity = activity
        self._attaching = attaching
        self._sweeping = False
        self._removals = 0
        self.removed: Callable[[Sequence[str]], None] = _nothing
        """Called with the layers of a removed container whose image was removed before it."""
        self._all: dict[str, Container] = {}
        self.half: list[Record] = []
        """Those whose making was cut off: they are gone, what was done for them may be left."""
        for record in list(store.records()):
            folder = store.path(record.id)
            # Nobody was told that it was created.
            if snapshotter.is_half(Path(folder)) or Path(folder, _FILLING).exists():
                store.discard(record.id)
                self.half.append(record)
            else:
                container = Container(record, store.state(record.id), folder)
                container.moments = decoded(store.timeline(record.id))
                self._all[record.id] = container

    def all(self) -> list[Container]:
        """Return every container, oldest first."""
        return list(self._all.values())

    def get(self, reference: str) -> Container:
        """Return the container with this id, id's beginning or name; NotFound otherwise."""
        return self._all[self.store.find(reference).id]

    def has(self, reference: str) -> bool:
        """Tell whether `get` would find a container."""
        try:
            self.get(reference)
        except (InvalidParameter, NotFound):
            return False
        return True

    def in_use(self, image_id: str) -> list[Use]:
        """Return the containers that were made from an image, or have it mounted."""
        return [
            Use(container.id, container.state.active)
            for container in self._all.values()
            if image_id in container.record.images
        ]

    async def create(
        self, name: str, body: CreateBody, platform: str = "", *, several: bool = True
    ) -> Created:
        """Make a container; nothing is left of one that is refused.

        `several` says whether the client's version of the API has more than one network at once.

        Raises InvalidParameter, Conflict, NotFound and NotImplementedHere in Docker's words.
        """
        self._grade.check_containers()
        creation = Span.begun()
        if name:
            name = checked_name(name)
            self.store.claim(name)
        image = self._image(body.image, platform)
        creation.note("resolved")
        config = merged(body, image.config.defaults)
        host = body.host_config or HostConfig()
        host.network_mode = "none" if config.network_disabled else host.network_mode or "default"
        check_conflicts(body, host)
        check_host(host)
        resolve(host, self.get)
        check_powers(host, rootless=self._grade.rootless)
        placed = places(body.networking_config, config, host, self._networks, several=several)
        check_published(config, host, self.get)
        unbound = self.unbound(host)
        container_id = secrets.token_hex(32)
        self._share_name(config, host)
        complete(config, host, container_id)
        resolved = await self._attaching.resolve(container_id, config, host, self.get)
        now = time.time_ns()
        try:
            # Only now, as volumes take their time: others are made and removed meanwhile.
            self._images.resolve(image.id)
            record = Record(
                id=container_id,
                # One that nobody asked for is found last: nobody else takes it from here on.
                name=name or random_name(self.store.has_name),
                created=rfc3339(now),
                created_ns=now,
                image=image.id,
                chain=list(image.chain_ids),
                platform=image.config.os,
                config=config,
                host_config=host,
                ids=self._ids(host),
                mounts=resolved.points,
                networks=placed,
            )
            for chain_id in record.layers:
                self._layers.diff(chain_id)  # of an image that is mounted, and was removed
            creation.note("checked")
            await self._make(record, creation)
        except BaseException:
            await self._attaching.undo(container_id, resolved.made)
            raise
        self._attaching.settled(container_id)
        # What is so for every container is told with the first.
        told, self._untold = self._untold, []
        if {*placed} - {"host", "none"}:
            told = [*told, *(lack for lack in self._networks.lacks() if lack not in self._told)]
            self._told.update(told)
        warnings = [*unbound, *creation_warnings(config, host), *shown_as_nobodys(record), *told]
        return Created(container_id, warnings)

    def _share_name(self, config: Config, host: HostConfig) -> None:
        """Call a container that joins another's network as that one is called."""
        if donor := donor_of(host.network_mode):
            theirs = self.get(donor).record.config
            config.hostname, config.domainname = theirs.hostname, theirs.domainname

    def _ids(self, host: HostConfig) -> IdRange | None:
        """Return the ids of a container's own user namespace, None for one that has none."""
        overlay = self._snapshotter.name == OverlaySnapshotter.name
        if not has_own_users(host, rootless=self._grade.rootless, overlay=overlay):
            return None
        return free_range(other.record.ids for other in self._all.values())

    def unbound(self, host: HostConfig, asked: HostConfig | None = None) -> "builtins.list[str]":
        """Return what to say of limits that this machine cannot set; an error where they must.

        `asked` are those to look at, when not all that the container has.
        """
        unbound = self._cgroups.missing(limits(asked or host))
        if unbound and requires_limits(host):
            names = ", ".join(_LIMIT.sub(r"\1", warning) for warning in unbound)
            raise InvalidParameter(
                f"limits are required that cannot be set here ({names}): leave them out, or see "
                "`ipycontainer doctor` for the cure"
            )
        return unbound

    def _image(self, name: str, platform: str) -> ImageRecord:
        if not name:
            raise InvalidParameter("no image was given: name one, as in `create busybox`")
        image = self._images.resolve(name)
        if platform:
            wanted, has = platforms.parse(platform), image.config.platform
            if not platforms.matches(wanted, has):
                raise NotFound(
                    f"image with reference {name} was found but does not match the specified "
                    f"platform: wanted {wanted}, actual: {has}"
                )
        return image

    async def _make(self, record: Record, creation: Span) -> None:
        try:
            container = Container(record, State(), self.store.create(record))
            container.moments.creation = creation
            self._all[record.id] = container
            await self._prepare(container)
        except BaseException as error:
            self._all.pop(record.id, None)
            self.store.discard(record.id)
            if isinstance(error, OSError):
                raise Unavailable(f"cannot create container {record.name}: {error}") from error
            raise
        creation.note("made")
        self.publish(container, "create")

    async def _prepare(self, container: Container) -> None:
        folder, record = Path(container.folder), container.record
        fills = any(point.copies for point in record.mounts)
        if fills:
            (folder / _FILLING).touch()
        if self._snapshotter.slow:
            # Its name is taken, and nobody can start or remove it.
            async with container.lock:
                await asyncio.to_thread(self._snapshotter.prepare, folder, record.chain)
        else:
            mounts = self._snapshotter.prepare(folder, record.chain)
            if record.ids:
                give_root(mounts, record.ids)
        if fills:
            async with container.lock:
                await self._attaching.fill(container, lambda: self._root(container))
                (folder / _FILLING).unlink()

    def _root(self, container: Container) -> Source:
        """Return what a view of a new container's root is made of, without what is mounted."""
        folder, record = Path(container.folder), container.record
        mounts = self._snapshotter.mounts(
            folder, record.chain, transient=record.host_config.auto_remove
        )
        ids = (record.ids.first, record.ids.count) if record.ids else None
        return Source(folder / "rootfs", [read_only(mount) for mount in mounts], (), ids=ids)

    def publish(self, container: Container, action: str, **attributes: str) -> None:
        """Tell subscribers what happened to a container."""
        self._events.publish(
            "container", action, container.id, {**container.attributes, **attributes}
        )

    def rename(self, reference: str, name: str) -> None:
        """Give a container another name."""
        container = self.get(reference)
        old = container.record.name
        if not name.removeprefix("/"):
            raise InvalidParameter("Neither old nor new names may be empty")
        try:
            new = checked_name(f"/{name.removeprefix('/')}")
            if new != old:
                self.store.rename(container.record, new)
        except (InvalidParameter, Conflict) as error:
            raise type(error)(f"Error when allocating new name: {error}") from error
        if new == old:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        self.publish(container, "rename", oldName=f"/{old}")

    async def list(
        self,
        filters: Mapping[str, Sequence[str]],
        *,
        show_all: bool = False,
        limit: int = 0,
        size: bool = False,
    ) -> "builtins.list[dict[str, Any]]":
        """Return GET /containers/json."""
        chosen = list(
            select(
                list(reversed(self._all.values())),
                filters,
                show_all=show_all or limit > 0,
                find=self.get,
                ancestor=self._stands_on,
            )
        )
        chosen = chosen[:limit] if limit > 0 else chosen
        lines = [summary(container, self._shown_image(container)) for container in chosen]
        if size:
            for container, line in zip(chosen, lines, strict=True):
                line.update(await self._sizes(container))
        return lines

    def _shown_image(self, container: Container) -> str:
        """Return the name by which it was made while that still means its image, else the id."""
        name = container.record.config.image
        found = self._images.find(name)
        return name if found and found.id == container.record.image else container.record.image

    def _stands_on(self, container: Container, name: str) -> bool:
        image = self._images.find(name)
        return image is not None and (
            container.record.image == image.id
            or container.record.chain[: len(image.chain_ids)] == list(image.chain_ids)
        )

    async def inspect(self, reference: str, *, size: bool = False) -> dict[str, Any]:
        """Return GET /containers/{id}/json."""
        container = self.get(reference)
        graph = self._snapshotter.graph(Path(container.folder), container.record.chain)
        found = inspection(container, self._snapshotter.name, graph)
        with contextlib.suppress(NotFound):  # the image was removed by force
            return {**found, **await self._sizes(container)} if size else found
        return found

    async def changes(self, reference: str) -> "builtins.list[dict[str, Any]] | None":
        """Return GET /containers/{id}/changes: what the container changed, None for nothing."""
        container = self.get(reference)
        folder, chain = Path(container.folder), container.record.chain
        nodes, lowers = self._snapshotter.walk(folder, chain), self._snapshotter.lowers(chain)
        found = await asyncio.to_thread(lambda: [*changes(nodes, lowers, self._ownership)])
        return [{"Path": change.path, "Kind": change.kind} for change in found] or None

    async def _sizes(self, container: Container) -> dict[str, int]:
        chain = container.record.chain
        written = await asyncio.to_thread(self._snapshotter.usage, Path(container.folder), chain)
        return {
            "SizeRw": written,
            "SizeRootFs": written + self._layers.total(chain),
        }

    def forget(self, container: Container, *, volumes: bool = False) -> None:
        """Take a container that does not run out of this engine; its files go a little later.

        With `volumes` its anonymous ones go too, unless another container has them.
        """
        container.removing = True
        container.drop_waiting()
        self.store.discard(container.id)
        del self._all[container.id]
        if container.record.images - {image.id for image in self._images.list()}:
            self.removed(container.record.layers)
        if volumes:
            self._attaching.release(container)
        self.publish(container, "destroy")
        ended = Ended(container.state.exit_code, fault=container.state.fault)
        container.exits.wake(ended)
        container.removals.wake(ended)
        self._removals += 1
        if not self._sweeping:
            self._sweeping = True
            self._activity.background(self._sweep(), "empty the trash")

    async def _sweep(self) -> None:
        """Empty the trash in the first pause between removals, after two seconds in any case."""
        for _ in range(10):
            before = self._removals
            await asyncio.sleep(_SWEEP_DELAY)
            if self._removals == before:
                break
        self._sweeping = False
        await sweeping.empty(self.store.trash)


def _nothing(chain: Sequence[str]) -> None:
    """Let the layers be until somebody says what becomes of them."""
