"""One build: its Dockerfile had and planned, its stages done side by side, its image named."""

import asyncio
from typing import TYPE_CHECKING, Any

from ipycontainer_runtime.build.checks import choice
from ipycontainer_runtime.build.plan import SCRATCH, Origin, Plan, PlannedStage
from ipycontainer_runtime.build.scope import Scope
from ipycontainer_runtime.engine.building.bases import Bases
from ipycontainer_runtime.engine.building.cachefrom import Proven
from ipycontainer_runtime.engine.building.config import Described, with_path
from ipycontainer_runtime.engine.building.context import (
    Context,
    dockerfile,
    leave_out,
    take_away,
)
from ipycontainer_runtime.engine.building.failures import StepFailed
from ipycontainer_runtime.engine.building.layering import Layering, Stack
from ipycontainer_runtime.engine.building.naming import keep, name
from ipycontainer_runtime.engine.building.output import Classic, Output, Steps
from ipycontainer_runtime.engine.building.placing import open_root
from ipycontainer_runtime.engine.building.planning import Planning
from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.engine.building.stage import Site, StageBuild
from ipycontainer_runtime.engine.building.state import State, of_image
from ipycontainer_runtime.engine.building.telling import Quiet, Telling
from ipycontainer_runtime.engine.garbage import Made
from ipycontainer_runtime.engine.times import source_date_epoch
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.store.images import ImageRecord

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.builds import Builds

EPOCH = "SOURCE_DATE_EPOCH"


class Build:
    """What is asked is done by `run`, once; what its `bases` hold must stay until then."""

    def __init__(
        self, builds: "Builds", request: BuildRequest, context: Context, telling: Telling
    ) -> None:
        self._builds = builds
        self._request = request
        self._context = context
        self._folder = context.home
        self._telling = telling
        told = Quiet(telling) if request.quiet else telling
        self._output: Output = Steps(telling) if request.steps else Classic(told, self._folder)
        self._say = telling.say
        self.text = ""
        """The Dockerfile, for who shows a part of it."""
        self.bases = Bases(builds, request, self._output)
        self._stages: dict[int, asyncio.Task[tuple[State, Scope]]] = {}

    async def run(self) -> None:
        """Build; raises StepFailed, or what is wrong with the request or the Dockerfile."""
        with self._builds.garbage.making() as made:
            try:
                await self._run(made)
            finally:
                await self._cancel(self.bases.tasks)

    async def _run(self, made: Made) -> None:
        await self._prepare()
        planning = Planning(self.text, self._request, self.bases, self._output)
        planned = await planning.plan()
        layering = self._layering(made)
        site = self._site(layering)
        try:
            state = await self._build(planned, planning, site)
            record = await name(self._builds, self._request, state, made)
            self._builds.cache.use(dict.fromkeys(site.used), record.id)
        except StepFailed as error:
            self._builds.cache.use(dict.fromkeys(site.used), "")
            error.image = await keep(self._builds, error.before, made)
            raise
        finally:
            await self._cancel(self._stages.values())
            await layering.close()
        if (unused := planned.unused_arguments) and not self._request.quiet:
            told = f"One or more build-args [{' '.join(unused)}] were not consumed"
            in_words = {"stream": f"[Warning] {told}\n"}
            self._say({"warning": {"message": told}} if self._request.steps else in_words)
        self._output.finished(record.id, [tag.familiar for tag in self._request.tags])
        if self._request.quiet and not self._request.steps:
            self._say({"stream": f"{record.id}\n"})

    async def _prepare(self) -> None:
        """Have the context and the Dockerfile."""
        context, request = self._context, self._request
        sent = await context.end()
        # docker-compose and older clients say so where the context is sent.
        address = "" if request.remote == "client-session" else request.remote
        if address:
            text = await asyncio.to_thread(context.fetch, address)
            if text is not None:
                self.text = text
                return
        elif not sent:
            raise InvalidParameter("the request has no context: send an archive, or name a remote")
        self.text = dockerfile(context.folder, request.dockerfile)
        drop = leave_out if address else take_away
        await asyncio.to_thread(drop, context.folder, request.dockerfile)

    def _layering(self, made: Made) -> Layering:
        builds = self._builds
        return Layering(
            layers=builds.layers,
            blobs=builds.blobs,
            snapshotter=builds.snapshotter,
            ownership=builds.ownership,
            made=made,
            folder=self._folder,
            epoch=self._epoch,
        )

    @property
    def _epoch(self) -> int | None:
        text = self._request.arguments.get(EPOCH) or ""
        return int(text) if source_date_epoch(text) else None

    def _site(self, layering: Layering) -> Site:
        builds = self._builds
        named = (builds.image_store.find(name) for name in self._request.cache_from)
        return Site(
            request=self._request,
            machine=builds.machine,
            layering=layering,
            cache=builds.cache,
            proven=Proven([record for record in named if record is not None]),
            output=self._output,
            room=self._telling.room,
            folder=self._folder,
            context=self._context.folder,
            root=lambda origin: self._root(layering, origin),
            stack=lambda origin: self._files(layering, origin),
            epoch=self._epoch,
            persistent=builds.persistent,
        )

    async def _build(self, found: Plan, planning: Planning, site: Site) -> State:
        """Do the needed stages, each as soon as those that it needs are done."""
        for stage in found.needed:
            work = self._stage(stage, found, planning, site)
            self._stages[stage.number] = asyncio.create_task(work)
        await asyncio.wait(self._stages.values(), return_when=asyncio.FIRST_EXCEPTION)
        await self._cancel(self._stages.values())
        for task in self._stages.values():
            if not task.cancelled() and (error := task.exception()):
                raise error
        return self._stages[found.target].result()[0]

    async def _cancel(self, tasks: Any) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _stage(
        self, stage: PlannedStage, found: Plan, planning: Planning, site: Site
    ) -> tuple[State, Scope]:
        (_, first), *steps = planning.steps[stage.number]
        for number in sorted(stage.needs):
            await asyncio.shield(self._stages[number])
        self._output.begin(first)
        state, below = await self._begin(stage, site)
        scope = Scope(found.outside, state.described.config.env, below)
        building = StageBuild(site, stage, state, scope)
        self._output.end(first, "done")
        building.tell(first)
        state = await building.run(steps)
        wanted = choice(found.dockerfile)
        for finding in filter(wanted.keeps, scope.findings):
            planning.warn(finding)
        return state, scope

    async def _begin(self, stage: PlannedStage, site: Site) -> tuple[State, Scope | None]:
        if stage.base.stage is not None:
            state, scope = self._stages[stage.base.stage].result()
            return state.heir(), scope
        if stage.base.image == SCRATCH:
            wanted = stage.platform
            asked = platforms.parse(self._request.platform) if self._request.platform else None
            return State(wanted or asked or platforms.host(), with_path(Described())), None
        record = await self.bases.image(stage.base.image, stage.platform)
        return of_image(record, self._stack(site.layering, record)), None

    def _stack(self, layering: Layering, record: ImageRecord) -> Stack:
        blobs = record.manifest.layers
        parts = zip(record.config.rootfs.diff_ids, record.chain_ids, blobs, strict=True)
        return tuple(layering.known(*part) for part in parts)

    async def _files(self, layering: Layering, origin: Origin) -> Stack:
        """Return the layers of another stage, or of an image; their folders stay where they are."""
        if origin.stage is not None:
            await asyncio.shield(self._stages[origin.stage])
            stack = self._stages[origin.stage].result()[0].stack
            for layer in stack:
                await layer.finished
            return stack
        if origin.image == SCRATCH:
            return ()
        return self._stack(layering, await self.bases.image(origin.image))

    async def _root(self, layering: Layering, origin: Origin) -> int:
        """Open the files of another stage, or of an image, for reading."""
        return await open_root(await layering.open(await self._files(layering, origin)))
