"""The engine: every store and every use case, made once and handed to each other."""

import asyncio
from collections.abc import Iterable

from ipycontainer_runtime.engine import sweeping
from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.adoption import Adoption
from ipycontainer_runtime.engine.archives import Archives
from ipycontainer_runtime.engine.backends import choose_ownership, choose_snapshotter
from ipycontainer_runtime.engine.building.builds import Builds
from ipycontainer_runtime.engine.building.cache import Cache
from ipycontainer_runtime.engine.building.pruning import BuildPruning
from ipycontainer_runtime.engine.building.sandbox import Machine
from ipycontainer_runtime.engine.capturing import HOST, Captures
from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.checkpoints import Checkpoints
from ipycontainer_runtime.engine.commit import Commits
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.contents import ImageContents
from ipycontainer_runtime.engine.deadlines import Deadlines
from ipycontainer_runtime.engine.diskusage import DiskUsage
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.execs import Execs
from ipycontainer_runtime.engine.garbage import Garbage
from ipycontainer_runtime.engine.health import HealthChecks
from ipycontainer_runtime.engine.imagemounts import ImageMounts
from ipycontainer_runtime.engine.images import Images
from ipycontainer_runtime.engine.importing import Imports
from ipycontainer_runtime.engine.lifecycle import Lifecycle
from ipycontainer_runtime.engine.loading import Loads
from ipycontainer_runtime.engine.logins import Logins
from ipycontainer_runtime.engine.logs import Logs
from ipycontainer_runtime.engine.memory import give_back
from ipycontainer_runtime.engine.networks.attachments import Attachments
from ipycontainer_runtime.engine.networks.changes import Changes
from ipycontainer_runtime.engine.networks.connecting import Connecting
from ipycontainer_runtime.engine.networks.endpoints import Endpoints
from ipycontainer_runtime.engine.networks.ground import Ground
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.networks.opening import opened_again
from ipycontainer_runtime.engine.networks.pruning import NetworkPruning
from ipycontainer_runtime.engine.networks.publishing import Publishing
from ipycontainer_runtime.engine.pausing import Pausing
from ipycontainer_runtime.engine.processes import Processes
from ipycontainer_runtime.engine.pruning import Pruning
from ipycontainer_runtime.engine.pull import Pulls
from ipycontainer_runtime.engine.push import Pushes
from ipycontainer_runtime.engine.recovery import Recovery
from ipycontainer_runtime.engine.restarts import Restarts
from ipycontainer_runtime.engine.saving import Saves
from ipycontainer_runtime.engine.security import Filters
from ipycontainer_runtime.engine.stats import Stats
from ipycontainer_runtime.engine.stopping import Stopping
from ipycontainer_runtime.engine.system import Counts, System
from ipycontainer_runtime.engine.timeline import Timelines
from ipycontainer_runtime.engine.unpacking import Stores
from ipycontainer_runtime.engine.updating import Updating
from ipycontainer_runtime.engine.volumes.attaching import Attaching
from ipycontainer_runtime.engine.volumes.drivers import Drivers
from ipycontainer_runtime.engine.volumes.local import Local
from ipycontainer_runtime.engine.volumes.plugins import Plugins
from ipycontainer_runtime.engine.volumes.volumes import Volumes
from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.layers.snapshot import OverlaySnapshotter
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.network.helper.client import Helper
from ipycontainer_runtime.network.ownplace import choose
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.captured import Captured
from ipycontainer_runtime.store.containers import ContainerStore
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore
from ipycontainer_runtime.store.networks import NetworkStore
from ipycontainer_runtime.store.volumes import VolumeStore

# Seconds without a new layer after which all are synced: the disk is then not what a pull, or the
# first run of what was pulled, waits for.
SETTLE_AFTER = 5.0
# A client that waits for the next engine waits for this one's leaving, and gives up after a second.
EMPTYING_SECONDS = 0.5


class Engine:
    """What the API serves. Made by `__main__` under the data root's lock, in a running loop."""

    def __init__(self, paths: Paths, grade: Grade) -> None:
        self.paths = paths
        self.grade = grade
        self.activity = Activity()
        self.leave = asyncio.Event()
        """Set when the engine is to stop."""
        self.events = Events()
        self._open_stores()
        self._make_containers()
        self._make_lives()
        self._make_commits()
        self._make_transfers()
        self._make_images()
        self._make_builds()
        self.system = System(
            paths=paths,
            activity=self.activity,
            count=self._count,
            subscribers=self.events.subscribers,
            rootless=grade.rootless,
            driver=self.snapshotter.name,
        )

    def _open_stores(self) -> None:
        # The launcher follows no symlink to what it mounts from here.
        root = self.paths.root.resolve()
        self.blobs = BlobStore(root)
        self.image_store = ImageStore(root, self.blobs)
        self._loop = asyncio.get_running_loop()
        self._settling: asyncio.TimerHandle | None = None
        self.layers = LayerStore(root, added=self._layer_added, one_id=self.grade.one_id)
        self.build_cache = Cache(root, self.layers, self.blobs)
        self.container_store = ContainerStore(root, self.layers.trash)
        self.volume_store = VolumeStore(root, self.layers.trash)
        self.network_store = NetworkStore(root)
        self.ownership = choose_ownership(self.grade, root)
        self.snapshotter = choose_snapshotter(self.grade, self.layers, self.ownership, root)
        self.shims = Spawner(self.paths)

    def _make_containers(self) -> None:
        """Make what keeps containers and looks at them."""
        self._make_volumes()
        self.cgroups = Cgroups()
        self.ground = Ground(choose(self.paths.run), self.paths.root.resolve(), self.network_store)
        self.networks = Networks(
            store=self.network_store,
            ground=self.ground,
            events=self.events,
            containers=lambda: self.containers.all(),  # noqa: PLW0108 - made later
            foresee=lambda network: self.attachments.foresee(network),  # noqa: PLW0108 - as well
            background=self.activity.background,
        )
        self.containers = Containers(
            store=self.container_store,
            image_store=self.image_store,
            layers=self.layers,
            snapshotter=self.snapshotter,
            ownership=self.ownership,
            cgroups=self.cgroups,
            events=self.events,
            activity=self.activity,
            attaching=self.attaching,
            grade=self.grade,
            networks=self.networks,
        )
        self.logs = Logs(containers=self.containers)
        self.stats = Stats(containers=self.containers, cgroups=self.cgroups)
        self.processes = Processes(containers=self.containers, cgroups=self.cgroups)

    def _make_volumes(self) -> None:
        rootless = self.grade.rootless
        drivers = Drivers(
            Local(self.volume_store, self.paths, rootless=rootless),
            Plugins(self.paths, rootless=rootless),
        )
        self.volumes = Volumes(
            store=self.volume_store,
            drivers=drivers,
            events=self.events,
            containers=lambda: self.containers.all(),  # noqa: PLW0108 - made after this
        )
        self.attaching = Attaching(
            volumes=self.volumes,
            store=self.volume_store,
            drivers=drivers,
            ownership=self.ownership,
            events=self.events,
            background=self.activity.background,
            paths=self.paths,
            image_mounts=ImageMounts(
                images=self.image_store,
                layers=self.layers,
                ownership=self.ownership,
                overlay=self.snapshotter.name == OverlaySnapshotter.name,
            ),
        )

    def _make_lives(self) -> None:
        """Make what starts containers, ends them, and goes along with them."""
        self._filters = filters = Filters(self.paths.run, one_id=self.grade.one_id)
        self.execs = Execs(containers=self.containers, grade=self.grade, seccomp=filters.path)
        self.pausing = Pausing(containers=self.containers, cgroups=self.cgroups)
        restarts = Restarts(self.activity)
        self._make_networks()
        self.lifecycle = Lifecycle(
            containers=self.containers,
            snapshotter=self.snapshotter,
            shims=self.shims,
            activity=self.activity,
            execs=self.execs,
            restarts=restarts,
            seccomp=filters.path,
            cgroups=self.cgroups,
            attaching=self.attaching,
            grade=self.grade,
            attachments=self.attachments,
        )
        self.updating = Updating(containers=self.containers, restarts=restarts)
        self.stopping = Stopping(
            containers=self.containers,
            lifecycle=self.lifecycle,
            pausing=self.pausing,
            restarts=restarts,
        )
        self.lifecycle.attend(
            HealthChecks(
                containers=self.containers,
                execs=self.execs,
                lifecycle=self.lifecycle,
                activity=self.activity,
            )
        )
        self.lifecycle.attend(Deadlines(self.activity, self.stopping))
        self.lifecycle.adoption = Adoption(
            containers=self.containers,
            lifecycle=self.lifecycle,
            shims=self.shims,
            execs=self.execs,
        )
        self.timelines = Timelines(
            containers=self.containers,
            image_store=self.image_store,
            layers=self.layers,
            snapshotter=self.snapshotter,
            cgroups=self.cgroups,
            seccomp=filters.path,
        )
        self.lifecycle.attend(self.timelines)
        self.recovery = Recovery(
            stopping=self.stopping,
            activity=self.activity,
            containers=self.containers,
            lifecycle=self.lifecycle,
            adoption=self.lifecycle.adoption,
            shims=self.shims,
        )

    def _make_networks(self) -> None:
        """Make what puts containers into networks, and tells their names and ports."""
        self.helper = Helper(self.paths, self._reopened)
        publishing = Publishing(
            networks=self.networks,
            ground=self.ground,
            helper=self.helper,
            activity=self.activity,
            find=self.containers.get,
        )
        endpoints = Endpoints()
        self.attachments = Attachments(
            networks=self.networks,
            ground=self.ground,
            publishing=publishing,
            endpoints=endpoints,
            find=self.containers.get,
        )
        self.connecting = Connecting(
            containers=self.containers,
            networks=self.networks,
            changes=Changes(
                networks=self.networks,
                ground=self.ground,
                publishing=publishing,
                endpoints=endpoints,
            ),
        )

    def _reopened(self, container_id: str) -> tuple[int, int] | None:
        """Return the network namespace and a pidfd of a container that runs, for a new helper."""
        try:
            return opened_again(self.containers.get(container_id))
        except NotFound:
            return None

    def _make_commits(self) -> None:
        """Make what reads and writes the files of containers."""
        self.garbage = Garbage(
            blobs=self.blobs,
            layers=self.layers,
            image_store=self.image_store,
            pulled=lambda: self.pulls.blobs,
            held=self._held,
            background=self.activity.background,
        )
        self.containers.removed = self.garbage.let_go
        self.commits = Commits(
            containers=self.containers,
            snapshotter=self.snapshotter,
            ownership=self.ownership,
            cgroups=self.cgroups,
            blobs=self.blobs,
            image_store=self.image_store,
            layers=self.layers,
            garbage=self.garbage,
            events=self.events,
        )
        self.checkpoints = Checkpoints(
            containers=self.containers,
            lifecycle=self.lifecycle,
            stopping=self.stopping,
            snapshotter=self.snapshotter,
            ownership=self.ownership,
            cgroups=self.cgroups,
            layers=self.layers,
        )
        self.archives = Archives(
            containers=self.containers,
            snapshotter=self.snapshotter,
            ownership=self.ownership,
            attaching=self.attaching,
            grade=self.grade,
        )

    def _make_builds(self) -> None:
        """Make what builds images, and remembers what it built."""
        self.builds = Builds(
            root=self.layers.folder.parent,
            machine=Machine(
                shims=self.shims,
                cgroups=self.cgroups,
                seccomp=self._filters.path,
                grade=self.grade,
                paths=self.paths,
                attachments=self.attachments,
                networks=self.networks,
                find=self.containers.get,
            ),
            snapshotter=self.snapshotter,
            ownership=self.ownership,
            blobs=self.blobs,
            image_store=self.image_store,
            layers=self.layers,
            garbage=self.garbage,
            pulls=self.pulls,
            events=self.events,
            cache=self.build_cache,
        )
        self.build_pruning = BuildPruning(
            cache=self.build_cache,
            persistent=self.builds.persistent,
            garbage=self.garbage,
            events=self.events,
        )
        self.image_store.held = lambda: self.builds.held_blobs
        self.image_store.removed = self.build_pruning.image_gone

    def _make_transfers(self) -> None:
        """Make what brings images here and sends them away."""
        self.captures = Captures(
            blobs=self.blobs,
            image_store=self.image_store,
            layers=self.layers,
            captured=Captured(self.paths.root),
            garbage=self.garbage,
            ownership=self.ownership,
            events=self.events,
        )
        self.pulls = Pulls(
            blobs=self.blobs,
            image_store=self.image_store,
            layers=self.layers,
            ownership=self.ownership,
            events=self.events,
            held=lambda: {
                *self._held_by_containers(),
                *self.garbage.layers,
                *self.builds.held_layers,
            },
            kept=lambda: self.garbage.blobs,
            captures={HOST: self.captures.pull},
        )
        self.loads = Loads(
            stores=Stores(self.blobs, self.layers, self.ownership),
            image_store=self.image_store,
            garbage=self.garbage,
            events=self.events,
        )
        self.imports = Imports(
            blobs=self.blobs,
            image_store=self.image_store,
            loads=self.loads,
            garbage=self.garbage,
            events=self.events,
        )
        self.saves = Saves(
            blobs=self.blobs,
            image_store=self.image_store,
            garbage=self.garbage,
            events=self.events,
        )
        self.logins = Logins()
        self.pushes = Pushes(blobs=self.blobs, image_store=self.image_store, events=self.events)

    def _make_images(self) -> None:
        """Make what looks at images, and what gives the disk back."""
        self.images = Images(
            image_store=self.image_store,
            layers=self.layers,
            events=self.events,
            in_use=self.containers.in_use,
            held=self._held,
            kept=lambda: self.garbage.blobs,
            background=self.activity.background,
        )
        self.image_contents = ImageContents(
            image_store=self.image_store, layers=self.layers, ownership=self.ownership
        )
        self.disk_usage = DiskUsage(
            containers=self.containers,
            image_store=self.image_store,
            layers=self.layers,
            blobs=self.blobs,
            in_use=self.containers.in_use,
            build_cache=self.build_cache,
            volumes=self.volumes,
            checkpoints=self.checkpoints,
        )
        self.network_pruning = NetworkPruning(self.networks, self.events)
        self.pruning = Pruning(
            containers=self.containers,
            stopping=self.stopping,
            snapshotter=self.snapshotter,
            checkpoints=self.checkpoints,
            images=self.images,
            image_store=self.image_store,
            disk_usage=self.disk_usage,
            events=self.events,
            in_use=self.containers.in_use,
        )

    async def start(self) -> None:
        """Adopt what earlier engines left; called once, before the first request is read."""
        if not self.grade.runs_nothing:
            await self.shims.start()
        await self.attachments.adopt(self.containers.all())
        await self.recovery.recover()
        await self.attaching.recovered(self.containers.half)
        await self.attachments.settle(self.containers.all())
        await self.builds.recover()
        self.garbage.sweep()
        self.activity.background(sweeping.empty(self.layers.trash), "empty the trash")

    def _layer_added(self) -> None:
        # Called on the thread that unpacked it.
        self._loop.call_soon_threadsafe(self._settle_later)

    def _settle_later(self) -> None:
        """Sync new layers to the disk once no more of them come and their first run has gone."""
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._loop.call_later(SETTLE_AFTER, self._settle)

    def _settle(self) -> None:
        self.activity.background(asyncio.to_thread(self._after_bulk_work), "sync layers")

    def _after_bulk_work(self) -> None:
        give_back()  # first: the disk may be busy for long
        self.layers.settle()

    async def close(self) -> None:
        """Let go of shims and stores; containers run on."""
        self.lifecycle.save()
        self.logs.close()
        await self._empty_trash()
        await self.attachments.leave(self.containers.all())
        await self.shims.close()

    async def _empty_trash(self) -> None:
        # What is left the next engine empties; the thread ends with the process.
        emptying = asyncio.ensure_future(asyncio.to_thread(self.layers.trash.empty))
        await asyncio.wait([emptying], timeout=EMPTYING_SECONDS)

    @property
    def runs_containers(self) -> bool:
        """True when shims go on after this engine."""
        return any(container.state.running for container in self.containers.all())

    def _held_by_containers(self) -> Iterable[str]:
        return {one for container in self.containers.all() for one in container.record.layers}

    def _held(self) -> Iterable[str]:
        """Return the layers that must stay, since something stands on them or counts on them."""
        return {
            *self._held_by_containers(),
            *self.pulls.layers,
            *self.garbage.layers,
            *self.builds.held_layers,
        }

    def _count(self) -> Counts:
        states = [container.state for container in self.containers.all()]
        paused = sum(state.paused for state in states)
        running = sum(state.active for state in states) - paused
        return Counts(
            running=running,
            paused=paused,
            stopped=len(states) - running - paused,
            images=len(self.image_store.list()),
        )
