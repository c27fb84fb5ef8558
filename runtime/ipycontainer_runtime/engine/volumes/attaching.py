"""What containers do with volumes: have them made, filled, mounted for each run, and let go.

A container's mount points are resolved once, at its creation: VolumesFrom, over that Binds and
Mounts, and where nothing else is, its image's VOLUMEs. A volume is in use as long as a container
has it, and mounted as long as one of those runs or is copied from.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from ipycontainer_runtime.engine.activity import Background
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.imagemounts import ImageMounts
from ipycontainer_runtime.engine.mounts import Placed, place
from ipycontainer_runtime.engine.mountspecs import Asked, asked, in_order, of_image, volumes_from
from ipycontainer_runtime.engine.threads import apart
from ipycontainer_runtime.engine.users import ownership_of
from ipycontainer_runtime.engine.volumes.drivers import Drivers
from ipycontainer_runtime.engine.volumes.filling import fill, settle
from ipycontainer_runtime.engine.volumes.volumes import CreateVolume, Volumes
from ipycontainer_runtime.errors import (
    Conflict,
    ContainerError,
    InvalidParameter,
    NotFound,
    Unavailable,
)
from ipycontainer_runtime.launch.root import LaunchError
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.pipe import Work
from ipycontainer_runtime.layers.view import Source
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.records import Config, HostConfig, MountPoint, Record
from ipycontainer_runtime.store.volumes import LOCAL, Volume, VolumeStore

_log = logging.getLogger(__name__)


class Resolved(NamedTuple):
    """A new container's mount points, and the volumes that were made for it."""

    points: list[MountPoint]
    made: list[Volume]


class Attaching:
    """The volumes of containers; an `Attendant` of their runs."""

    def __init__(
        self,
        *,
        volumes: Volumes,
        store: VolumeStore,
        drivers: Drivers,
        ownership: Ownership,
        events: Events,
        background: Background,
        paths: Paths,
        image_mounts: ImageMounts,
    ) -> None:
        self._image_mounts = image_mounts
        self._volumes = volumes
        self._store = store
        self._drivers = drivers
        self._ownership = ownership
        self._events = events
        self._background = background
        self._paths = paths
        self._mounted: dict[str, set[str]] = {}
        """By the name of a volume the words of those that have it mounted."""
        self._recovered = False

    # -- creation

    async def resolve(
        self,
        container_id: str,
        config: Config,
        host: HostConfig,
        find: Callable[[str], Container],
    ) -> Resolved:
        """Return what is mounted into a new container, its volumes made where they are missing.

        They are the container's from now on, until `settled`. Nothing is left of what is refused.
        """
        wanted = asked(host)
        points = self._of_others(host, find)
        images = of_image(config, host.volume_driver)
        if not (wanted or points or images):
            return Resolved([], [])
        made: list[Volume] = []
        try:
            for point in points.values():
                if point.type == "volume":
                    self._volumes.claim(point.name, container_id)
            for one in wanted.values():
                if one.point.type == "image":
                    self._image_mounts.settle(one.point)
            await self.place([one.point for one in wanted.values()], {})
            for destination, one in wanted.items():
                points[destination] = await self._with_volume(one, container_id, made)
            for point in images:
                if point.destination not in points:
                    whole = await self._with_volume(Asked(point), container_id, made)
                    points[point.destination] = msgspec.structs.replace(whole, mode="")
        except BaseException:
            await self.undo(container_id, made)
            raise
        return Resolved(in_order(points.values()), made)

    async def place(
        self, points: Sequence[MountPoint], volumes: Mapping[str, str], *, mapped: bool = False
    ) -> Placed:
        """Return what is to be mounted; a folder of the host may be one that does not answer."""
        image = partial(self._image_mounts.mount, mapped=mapped)
        work = partial(place, points, self._paths, volumes, image, mapped=mapped)
        if any(point.type == "bind" for point in points):
            return await apart(work)
        return work()

    def _of_others(
        self, host: HostConfig, find: Callable[[str], Container]
    ) -> dict[str, MountPoint]:
        points = {}
        for other in volumes_from(host):
            try:
                donor = find(other.container)
            except NotFound as error:  # by which a client would take the image for missing
                raise InvalidParameter(str(error)) from error
            for point in donor.record.mounts:
                if not point.hidden:
                    points[point.destination] = msgspec.structs.replace(
                        point,
                        writable=point.writable and other.writable,
                        mode="",
                        copies=False,
                    )
        return points

    async def _with_volume(self, one: Asked, container_id: str, made: list[Volume]) -> MountPoint:
        point = one.point
        if point.type != "volume":
            return point
        body = CreateVolume(
            name=point.name, driver=point.driver, driver_opts=one.options, labels=one.labels
        )
        try:
            volume, is_new = await self._volumes.create(body, for_container=container_id)
        except NotFound as error:  # by which a client would take the image for missing
            raise InvalidParameter(str(error)) from error
        if is_new:
            made.append(volume)
        driver = self._drivers.known(volume.driver)
        point.name, point.driver = volume.name, volume.driver
        point.source = driver.path(volume) if driver else ""
        if point.driver == LOCAL:
            point.mode = point.mode or "z"  # what Docker's engine says of it
        return point

    async def undo(self, container_id: str, made: list[Volume]) -> None:
        """Remove the volumes of a container that was refused; what somebody else has stays."""
        self._volumes.unclaim(container_id)
        for volume in made:
            with contextlib.suppress(ContainerError):
                await self._volumes.remove(volume.name)

    def settled(self, container_id: str) -> None:
        """The container is there, and its record says what it has."""
        self._volumes.unclaim(container_id)

    async def fill(self, container: Container, source: Callable[[], Source]) -> None:
        """Fill the container's empty volumes with what its image has there.

        Nobody may mount its root meanwhile. Raises InvalidParameter where the image has a file.
        """
        points = [point for point in container.record.mounts if point.copies]
        word, empty = f"fill-{container.id}", dict[str, str]()
        async with contextlib.AsyncExitStack() as held:
            for name in sorted({point.name for point in points}):
                await held.enter_async_context(self._volumes.alone(name))
            for point in points:
                path = await self._mount(point, word)
                held.push_async_callback(self._unmount, point, word)
                if await apart(partial(settle, path)):
                    empty.setdefault(path, point.destination)
            if empty:
                read = ownership_of(container.record, self._ownership)
                await self._fill(source(), empty, read)

    async def _fill(self, source: Source, empty: Mapping[str, str], read: Ownership) -> None:
        work = Work("fill volumes", lambda: fill(source, empty, read=read, written=self._ownership))
        try:
            await asyncio.to_thread(work.result)
        except LaunchError as error:
            raise InvalidParameter(str(error)) from error
        except OSError as error:
            raise Unavailable(
                f"cannot fill the volumes at {', '.join(empty.values())}: {error.strerror}: "
                "leave them empty with nocopy"
            ) from error
        finally:
            await asyncio.to_thread(work.join)

    # -- runs

    async def mount(self, container: Container) -> dict[str, str]:
        """Mount a container's volumes for a run, and return their folders by their names."""
        folders: dict[str, str] = {}
        try:
            for point in _volumes_of(container):
                if point.name not in folders:
                    async with self._volumes.alone(point.name):
                        folders[point.name] = await self._mount(point, container.id)
                        await apart(partial(settle, folders[point.name]))
                self._tell(container, "mount", point)
        except BaseException:
            await self._let_go(container, list(folders))
            raise
        return folders

    @contextlib.asynccontextmanager
    async def shown(self, container: Container) -> AsyncIterator[dict[str, str]]:
        """Mount a container's volumes for the length of a copy."""
        word, points = f"copy-{container.id}", _volumes_of(container)
        folders: dict[str, str] = {}
        try:
            for point in points:
                if point.name not in folders:
                    async with self._volumes.alone(point.name):
                        folders[point.name] = await self._mount(point, word)
            yield folders
        finally:
            for point in points:
                if folders.pop(point.name, None):
                    async with self._volumes.alone(point.name):
                        await self._unmount(point, word)

    async def _mount(self, point: MountPoint, word: str) -> str:
        volume = self._volume(point)
        if volume.driver == LOCAL and not volume.options:
            return self._store.data(volume.name)
        driver = await self._drivers.get(volume.driver)
        path = await apart(partial(driver.mount, volume, word))
        self._mounted.setdefault(volume.name, set()).add(word)
        return path

    async def _unmount(self, point: MountPoint, word: str) -> None:
        volume = self._volume(point)
        if volume.driver == LOCAL and not volume.options:
            return
        words = self._mounted.get(volume.name, set())
        words.discard(word)
        last = not words and self._recovered and not self._volumes.is_run_with(volume.name)
        try:
            driver = await self._drivers.get(volume.driver)
            await apart(partial(driver.unmount, volume, word, last=last))
        except (ContainerError, OSError) as error:
            _log.warning("volume %s is not unmounted: %s", volume.name, error)

    def _volume(self, point: MountPoint) -> Volume:
        found = self._store.get(point.name)
        if found is None and point.driver == LOCAL:
            raise NotFound(f"get {point.name}: no such volume")
        return found or Volume(name=point.name, driver=point.driver, created="")

    def began(self, container: Container) -> None:
        """Count a run, also one that an earlier engine began."""
        for point in _volumes_of(container):
            volume = self._store.get(point.name)
            if volume is None or volume.driver != LOCAL or volume.options:
                self._mounted.setdefault(point.name, set()).add(container.id)

    def ended(self, container: Container) -> None:
        """Let go of what the run had mounted."""
        points = _volumes_of(container)
        for point in points:
            self._tell(container, "unmount", point)
        names = {point.name for point in points if not self._is_plain(point)}
        if names:
            self._background(self._let_go(container, sorted(names)), "unmount volumes")

    def _is_plain(self, point: MountPoint) -> bool:
        volume = self._store.get(point.name)
        return volume is not None and volume.driver == LOCAL and not volume.options

    async def _let_go(self, container: Container, names: list[str]) -> None:
        for point in _volumes_of(container):
            if point.name in names and not container.state.running:
                names.remove(point.name)
                if self._recovered and container.id not in self._mounted.get(point.name, ()):
                    continue
                async with self._volumes.alone(point.name):
                    with contextlib.suppress(NotFound):  # removed with its container
                        await self._unmount(point, container.id)

    def _tell(self, container: Container, action: str, point: MountPoint) -> None:
        told = {"container": container.id, "driver": point.driver}
        if action == "mount":
            told["destination"] = point.destination
            told["propagation"] = point.propagation
            told["read/write"] = "true" if point.writable else "false"
        self._events.publish("volume", action, point.name, told)

    async def recovered(self, half: Iterable[Record]) -> None:
        """Unmount what no container uses that runs; called once those are known that do.

        `half` are containers that an engine was killed over, while it made them.
        """
        self._recovered = True
        for record in half:
            self._background(self._undo_half(record), "undo a fill")
        for volume in self._store.list():
            used = self._mounted.get(volume.name) or self._volumes.is_run_with(volume.name)
            if volume.driver == LOCAL and volume.options and not used:
                driver = await self._drivers.get(LOCAL)
                await apart(partial(driver.unmount, volume, "", last=True))

    async def _undo_half(self, record: Record) -> None:
        for point in record.mounts:
            if point.type != "volume":
                continue
            with contextlib.suppress(NotFound):  # made for it, and not even that
                if point.copies and point.driver != LOCAL:
                    await self._unmount(point, f"fill-{record.id}")
                if not point.named:
                    with contextlib.suppress(Conflict):  # another has it, too
                        await self._volumes.remove(point.name)

    # -- removal

    def release(self, container: Container) -> None:
        """Remove the anonymous volumes of a container that has just been removed.

        Those that another container has too stay, as under Docker.
        """
        for point in _volumes_of(container):
            volume = self._store.get(point.name)
            if point.named or volume is None or self._volumes.users(point.name):
                continue
            if self._is_plain(point):
                self._volumes.forget(volume)
            else:
                self._background(self._remove(container, volume), "remove a volume")

    async def _remove(self, container: Container, volume: Volume) -> None:
        await self._let_go(container, [volume.name])
        try:
            await self._volumes.remove(volume.name)
        except ContainerError as error:
            _log.warning("volume %s is not removed: %s", volume.name, error)


def _volumes_of(container: Container) -> list[MountPoint]:
    return [point for point in container.record.mounts if point.type == "volume"]
