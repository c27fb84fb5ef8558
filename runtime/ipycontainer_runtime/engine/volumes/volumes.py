"""The use cases of volumes: create, list, inspect, remove, prune, and how much room they take."""

import asyncio
import builtins
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.pruned import Chosen, Pruned
from ipycontainer_runtime.engine.times import parse_rfc3339, rfc3339
from ipycontainer_runtime.engine.volumes.driver import Driver, Known
from ipycontainer_runtime.engine.volumes.drivers import Drivers
from ipycontainer_runtime.errors import Conflict, ContainerError, InvalidParameter, NotFound
from ipycontainer_runtime.layers.snapshot import tree_size
from ipycontainer_runtime.store.volumes import ANONYMOUS, LOCAL, Volume, VolumeStore

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST_NAME = 255
_FILTERS = ("dangling", "driver", "label", "name")
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}

Filters = Mapping[str, Sequence[str]]


class CreateVolume(msgspec.Struct, rename="pascal", kw_only=True):
    """The body of POST /volumes/create."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, Any] | None = None


class Listed(NamedTuple):
    """Volumes in the Engine API's shape, and what could not be asked."""

    volumes: list[dict[str, Any]]
    warnings: list[str]


class Volumes:
    """Every volume of this engine, by name."""

    def __init__(
        self,
        *,
        store: VolumeStore,
        drivers: Drivers,
        events: Events,
        containers: Callable[[], Iterable[Container]],
    ) -> None:
        self._store = store
        self._drivers = drivers
        self._events = events
        self._containers = containers
        self._claims: dict[str, set[str]] = {}
        """Containers that are being made, by the volumes that they have so far."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Hold a volume, so that nobody else makes, mounts or removes it meanwhile."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield

    # -- who uses what

    def users(self, name: str) -> builtins.list[str]:
        """Return the ids of the containers, running or not, that have a volume."""
        found = [
            container.id
            for container in self._containers()
            if any(point.name == name for point in container.record.mounts)
        ]
        return [*found, *(self._claims.get(name, set()) - {*found})]

    def is_run_with(self, name: str) -> bool:
        """Tell whether a container runs that has a volume, also one that was not adopted yet."""
        return any(
            container.state.running and any(p.name == name for p in container.record.mounts)
            for container in self._containers()
        )

    def claim(self, name: str, container_id: str) -> None:
        """Note that a container which is being made has a volume."""
        self._claims.setdefault(name, set()).add(container_id)

    def unclaim(self, container_id: str) -> None:
        """Undo `claim`: the container is made, or will not be."""
        for name, claims in list(self._claims.items()):
            claims.discard(container_id)
            if not claims:
                del self._claims[name]

    # -- create

    async def create(self, asked: CreateVolume, *, for_container: str = "") -> tuple[Volume, bool]:
        """Make a volume, or return the one that has this name; whether it is new comes second.

        Raises InvalidParameter, Conflict where another driver has the name, and NotFound for an
        unknown driver.
        """
        if asked.cluster_volume_spec:
            raise InvalidParameter("this node is not a swarm manager: leave ClusterVolumeSpec out")
        name = asked.name or secrets.token_hex(32)
        async with self.alone(name):
            if for_container:
                self.claim(name, for_container)
            try:
                return await self._create(name, asked)
            except ContainerError as error:
                raise type(error)(f"create {name}: {error}") from error

    async def _create(self, name: str, asked: CreateVolume) -> tuple[Volume, bool]:
        driver = await self._drivers.get(asked.driver) if asked.driver else None
        if found := await self._there(name, asked, driver):
            if driver is not None and found.driver != driver.name:
                raise Conflict(
                    f"driver '{found.driver}' already has volume '{name}': "
                    "volume name must be unique: choose another name"
                )
            return found, False
        driver = driver or await self._drivers.get(LOCAL)
        if driver.name == LOCAL:
            _check_name(name)
        labels = asked.labels
        if not asked.name:
            labels = {**(labels or {}), ANONYMOUS: ""}
        volume = Volume(
            name=name,
            driver=driver.name,
            created=rfc3339(time.time_ns()),
            labels=labels or None,
            options=asked.driver_opts or None,
        )
        await self._drivers.check(driver, volume)
        await self._drivers.call(driver, lambda: driver.create(volume))
        self._store.create(volume, folder=driver.name == LOCAL)
        self._events.publish("volume", "create", name, {"driver": volume.driver})
        return volume, True

    async def _there(self, name: str, asked: CreateVolume, driver: Driver | None) -> Volume | None:
        """Return the volume of this name that is to be used; a driver that is named decides."""
        if driver is None:
            return await self._find(name) if asked.name else None
        if (volume := self._store.get(name)) or driver.name == LOCAL:
            return volume
        driver.check(Volume(name=name, driver=driver.name, created=""))
        known = await self._drivers.call(driver, lambda: driver.find(name))
        return Volume(name=name, driver=driver.name, created=known.created) if known else None

    async def _find(self, name: str) -> Volume | None:
        """Return the volume of this name, ours or one that a plugin has by itself.

        A plugin that does not answer has none: nobody else's volumes may depend on it.
        """
        if volume := self._store.get(name):
            return volume
        found = await self._drivers.find(name)
        return Volume(name=name, driver=found[0].name, created=found[1].created) if found else None

    async def get(self, name: str) -> Volume:
        """Return a volume; NotFound when there is none of this name."""
        if volume := await self._find(name):
            return volume
        raise NotFound(f"get {name}: no such volume")

    # -- look

    async def inspect(self, name: str) -> dict[str, Any]:
        """Return GET /volumes/{name}."""
        volume = await self.get(name)
        driver = await self._drivers.get(volume.driver)
        known = None
        if driver.name != LOCAL:
            known = await self._drivers.call(driver, lambda: driver.find(name))
        return _shape(volume, driver, known)

    async def list(self, filters: Filters) -> Listed:
        """Return GET /volumes."""
        _check_filters(filters)
        shapes, warnings = [], []
        seen = set()
        for volume in self._store.list():
            seen.add(volume.name)
            driver = self._drivers.known(volume.driver)
            if self._matches(volume, filters):
                shapes.append(_shape(volume, driver))
        for driver, found in await self._drivers.survey():
            if isinstance(found, ContainerError):
                warnings.append(str(found))
                continue
            for known in found:
                volume = Volume(name=known.name, driver=driver.name, created=known.created)
                if known.name not in seen and self._matches(volume, filters):
                    shapes.append(_shape(volume, driver, known))
        return Listed(sorted(shapes, key=lambda shape: str(shape["Name"])), warnings)

    def _matches(self, volume: Volume, filters: Filters) -> bool:
        dangling = {_TRUTHS[value.lower()] for value in filters.get("dangling", ())}
        if dangling and bool(self.users(volume.name)) in dangling:
            return False
        if (drivers := filters.get("driver")) and volume.driver not in drivers:
            return False
        if (names := filters.get("name")) and not any(_fits(n, volume.name) for n in names):
            return False
        return Chosen({"label": filters.get("label", ())}, ()).has(volume.labels, 0)

    async def usage(self) -> builtins.list[dict[str, Any]]:
        """Return the volumes of GET /system/df: those that have their files here."""
        return [
            {
                **_shape(volume, self._drivers.known(LOCAL)),
                "UsageData": {
                    "Size": await self._size(volume),
                    "RefCount": len(self.users(volume.name)),
                },
            }
            for volume in self._store.list()
            if _has_files_here(volume)
        ]

    async def _size(self, volume: Volume) -> int:
        return await asyncio.to_thread(tree_size, Path(self._store.data(volume.name)))

    # -- remove

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume that no container has; force forgives that there is none.

        Raises NotFound, and Conflict with the ids of the containers.
        """
        async with self.alone(name):
            try:
                volume = await self.get(name)
            except NotFound:
                if force:
                    return
                raise
            await self._remove(volume, force=force)

    async def _remove(self, volume: Volume, *, force: bool = False) -> None:
        name = volume.name
        if users := self.users(name):
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        if volume.driver != LOCAL or volume.options:
            try:
                driver = await self._drivers.get(volume.driver)
                await self._drivers.call(driver, lambda: driver.remove(volume))
            except ContainerError as error:
                if not force:
                    raise type(error)(f"remove {name}: {error}") from error
        self.forget(volume)

    def forget(self, volume: Volume) -> None:
        """Take a volume whose driver has nothing more to do out of this engine."""
        self._store.discard(volume.name)
        self._events.publish("volume", "destroy", volume.name, {"driver": volume.driver})

    async def prune(self, filters: Filters, *, everything: bool) -> Pruned:
        """Remove the volumes that no container has: anonymous ones, or with `everything` all.

        As with Docker only those that have their files here: what a plugin keeps on another machine
        goes when its volume is removed by name.
        """
        named = dict(filters)
        for value in named.pop("all", ()):
            if value.lower() not in _TRUTHS:
                raise InvalidParameter(f"invalid filter 'all=[{value}]': true or false is wanted")
            everything = everything or _TRUTHS[value.lower()]
        if "until" in named:
            raise InvalidParameter("invalid filter 'until': use all, label, label!")
        chosen = Chosen(named, ())
        removed, reclaimed = [], 0
        for volume in self._store.list():
            if not (everything or volume.anonymous) or not chosen.has(volume.labels, 0):
                continue
            if not _has_files_here(volume):
                continue
            async with self.alone(volume.name):
                if self.users(volume.name) or self._store.get(volume.name) is not volume:
                    continue
                size = await self._size(volume)
                try:
                    await self._remove(volume)
                except (ContainerError, OSError):
                    continue  # came into use, or its driver or the disk keeps it
            removed.append(volume.name)
            reclaimed += size
        self._events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return Pruned(removed, [], reclaimed)


def _shape(volume: Volume, driver: Driver | None, known: Known | None = None) -> dict[str, Any]:
    created = volume.created or (known.created if known else "")
    mountpoint = known.mountpoint if known else ""
    if not mountpoint and driver is not None:
        mountpoint = driver.path(volume)
    status = {"Status": known.status} if known and known.status else {}
    return {
        **({"CreatedAt": _seconds(created)} if created else {}),
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": mountpoint,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": driver.scope() if driver is not None else "local",
        **status,
    }


def _has_files_here(volume: Volume) -> bool:
    return volume.driver == LOCAL and not volume.options


def _seconds(when: str) -> str:
    """Return a time without its fraction, as Docker has it for volumes."""
    try:
        return rfc3339(parse_rfc3339(when) // 1_000_000_000 * 1_000_000_000)
    except ValueError:
        return when  # a plugin's own way to write it


def _check_name(name: str) -> None:
    if len(name) < 2:
        raise InvalidParameter(
            "volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f'"{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    if len(name) > _LONGEST_NAME:
        raise InvalidParameter(f"volume name is longer than {_LONGEST_NAME} characters")


def _check_filters(filters: Filters) -> None:
    for name in filters:
        if name not in _FILTERS:
            raise InvalidParameter(f"invalid filter '{name}': use {', '.join(_FILTERS)}")
    for value in filters.get("dangling", ()):
        if value.lower() not in _TRUTHS:
            raise InvalidParameter(f"invalid filter 'dangling=[{value}]': true or false is wanted")


def _fits(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return pattern in name
