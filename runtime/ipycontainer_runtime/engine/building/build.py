"""One build: its Dockerfile read and planned, its stages done side by side, its image named."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipycontainer_runtime.build.checks import check, choice, refuse
from ipycontainer_runtime.build.instructions import Instruction, Label, Pair
from ipycontainer_runtime.build.parse import parse
from ipycontainer_runtime.build.plan import SCRATCH, Origin, Plan, PlannedStage, plan
from ipycontainer_runtime.build.scope import Scope, global_scope
from ipycontainer_runtime.build.source import Finding
from ipycontainer_runtime.credentials.login import domain, encode_header
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
from ipycontainer_runtime.engine.building.output import Classic, Output, Step, Steps
from ipycontainer_runtime.engine.building.placing import open_root
from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.engine.building.stage import Site, StageBuild
from ipycontainer_runtime.engine.building.state import State, of_image
from ipycontainer_runtime.engine.building.telling import Quiet, Telling
from ipycontainer_runtime.engine.garbage import Made
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import ContainerError, InvalidParameter
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.images import ImageRecord

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.builds import Builds

EPOCH = "SOURCE_DATE_EPOCH"


class Build:
    """What is asked is done by `run`, once; `held_layers` and `held_blobs` must stay until then."""

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
        self._images: dict[tuple[str, str], asyncio.Task[ImageRecord]] = {}
        self._stages: dict[int, asyncio.Task[tuple[State, Scope]]] = {}
        self._steps: dict[int, list[tuple[Instruction, Step]]] = {}

    @property
    def _records(self) -> list[ImageRecord]:
        tasks = self._images.values()
        return [t.result() for t in tasks if t.done() and not t.cancelled() and not t.exception()]

    @property
    def held_layers(self) -> set[str]:
        """The layers of the images that it stands on."""
        return {chain for record in self._records for chain in record.chain_ids}

    @property
    def held_blobs(self) -> set[str]:
        """The blobs of the images that it stands on."""
        return {digest for record in self._records for digest in record.blobs}

    async def run(self) -> None:
        """Build; raises StepFailed, or what is wrong with the request or the Dockerfile."""
        with self._builds.garbage.making() as made:
            try:
                await self._run(made)
            finally:
                await self._cancel(self._images.values())

    async def _run(self, made: Made) -> None:
        await self._prepare()
        planned = await self._plan()
        layering = self._layering(made)
        site = self._site(layering, planned)
        try:
            state = await self._build(planned, site)
            record = await self._name(state, made)
            self._builds.cache.use(dict.fromkeys(site.used), record.id)
        except StepFailed as error:
            self._builds.cache.use(dict.fromkeys(site.used), "")
            error.image = await self._keep(error.before, made)
            raise
        finally:
            await self._cancel(self._stages.values())
            await layering.close()
        if (unused := planned.unused_arguments) and not self._request.quiet:
            told = f"One or more build-args [{' '.join(unused)}] were not consumed"
            self._say({"stream": f"[Warning] {told}\n"})
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

    # -- what is to be done

    async def _plan(self) -> Plan:
        read = parse(self.text)
        request = self._request
        host = platforms.host()
        target = platforms.parse(request.platform) if request.platform else host
        outside = global_scope(
            read.arguments, request.arguments, build=host, target=target, stage=request.target
        )
        found = plan(read, outside, request.target)
        self._number(found)
        await self._bases(found)
        environments: dict[int, Sequence[str]] = {}
        # A trigger may need a stage that nothing needed, whose base may have triggers too.
        while fresh := [stage for stage in found.needed if stage.number not in environments]:
            for stage in fresh:
                environments[stage.number] = ()
                if stage.base.image and stage.base.image != SCRATCH:
                    record = await self._base(stage)
                    environments[stage.number] = record.config.defaults.env or ()
                    if triggers := record.config.defaults.on_build:
                        found = found.with_triggers(stage.number, triggers)
        findings = check(found, environments)
        for finding in findings:
            self._warn(finding)
        refuse(read, findings)
        self._fill(found)
        return found

    async def _bases(self, found: Plan) -> None:
        """Pull what stages begin with, side by side, each told as its first step."""
        for stage in found.needed:
            if stage.base.image and stage.base.image != SCRATCH:
                step = self._steps[stage.number][0][1]
                self._want(stage.base.image, stage.platform, step)
        if self._images:
            await asyncio.wait(self._images.values())

    async def _base(self, stage: PlannedStage) -> ImageRecord:
        """Return the image that a stage begins with; without it the stage's FROM has failed."""
        try:
            return await self._image(stage.base.image, stage.platform)
        except ContainerError as error:
            base = stage.stage.base
            # A stage that only a trigger needs has no number yet.
            known = self._steps.get(stage.number)
            step = known[0][1] if known else Step(stage.title, 0, 0, base.source, base.span)
            self._output.end(step, "failed")
            raise StepFailed(error, step, State(stage.platform or platforms.host())) from error

    def _number(self, found: Plan) -> None:
        """Number the steps of all stages that will be built, in the Dockerfile's order."""
        for stage in found.needed:
            instructions = [stage.stage.base, *stage.stage.instructions]
            if stage.number == found.target and self._request.labels:
                instructions += self._labels(stage)
            self._steps[stage.number] = [
                (instruction, Step(stage.title, 0, 0, instruction.source, instruction.span))
                for instruction in instructions
            ]
        steps = [step for number in sorted(self._steps) for _, step in self._steps[number]]
        for number, step in enumerate(steps, 1):
            step.number, step.total = number, len(steps)
        for _, step in self._steps[found.target][-len(self._request.labels) or len(steps) :]:
            step.given = True
        self._output.planned(steps)

    def _labels(self, stage: PlannedStage) -> list[Label]:
        """Return the labels of the request as the classic builder has them: as the last steps."""
        return [
            Label(
                span=stage.stage.base.span,
                source=f"LABEL {name}={value}",
                pairs=(Pair(name, value),),
            )
            for name, value in sorted(self._request.labels.items())
        ]

    def _fill(self, found: Plan) -> None:
        """Put the triggers of base images behind their FROM, and number what they need."""
        added = [stage for stage in found.needed if stage.number not in self._steps]
        if added:
            self._steps.clear()
            self._number(found)
        for stage in found.needed:
            steps = self._steps[stage.number]
            base = steps[0][1]
            triggers = [
                (
                    instruction,
                    Step(
                        base.stage,
                        base.number,
                        base.total,
                        instruction.source,
                        base.span,
                        trigger=number,
                        triggers=stage.triggers,
                    ),
                )
                for number, instruction in enumerate(stage.instructions[: stage.triggers], 1)
            ]
            steps[1:1] = triggers
        self._output.planned([s for n in sorted(self._steps) for _, s in self._steps[n]])

    def _warn(self, finding: Finding) -> None:
        first, last = finding.span.first, finding.span.last
        lines = "\n".join(self.text.split("\n")[first - 1 : last])
        message = f"{finding.rule}: {finding.message}"
        self._output.warn({"first": first, "last": last, "message": message, "text": lines})

    # -- images

    def _want(
        self, name: str, platform: Platform | None, step: Step | None = None
    ) -> "asyncio.Task[ImageRecord]":
        key = (name, str(platform or self._request.platform))
        if key not in self._images:
            self._images[key] = asyncio.create_task(self._obtain(name, key[1], step))
        return self._images[key]

    async def _image(self, name: str, platform: Platform | None = None) -> ImageRecord:
        return await asyncio.shield(self._want(name, platform))

    async def _obtain(self, name: str, platform: str, step: Step | None) -> ImageRecord:
        """Return an image of the store, pulled where it is missing or `pull` was asked for."""
        store, wanted = self._builds.image_store, platforms.parse(platform) if platform else None
        found = store.find(name)
        fits = found is not None and (
            wanted is None or platforms.matches(wanted, found.config.platform)
        )
        if found is not None and fits and not self._request.pull:
            return found
        reference = Reference.parse(name).canonical
        pull = self._builds.pulls.pull(name, platform or None, self._credentials(reference))
        async for message in pull:
            if step is not None:
                self._output.pulled(step, message)
        return store.resolve(reference.full)

    def _credentials(self, reference: Reference) -> str | None:
        """Return X-Registry-Auth for one registry of X-Registry-Config."""
        for name, given in self._request.auth.items():
            if given and domain(name) == domain(reference.domain):
                return encode_header(given)
        return None

    # -- building

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
        text = self._request.arguments.get(EPOCH)
        if not text:
            return None
        try:
            seconds = int(text)
            rfc3339(seconds * 1_000_000_000)
        except (ValueError, OverflowError, OSError):
            raise InvalidParameter(
                f"{EPOCH}={text!r} is no time: give seconds since 1970, as `date +%s` does"
            ) from None
        return seconds

    def _site(self, layering: Layering, found: Plan) -> Site:
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

    async def _build(self, found: Plan, site: Site) -> State:
        """Do the needed stages, each as soon as those that it needs are done."""
        for stage in found.needed:
            work = self._stage(stage, found, site)
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

    async def _stage(self, stage: PlannedStage, found: Plan, site: Site) -> tuple[State, Scope]:
        (_, first), *steps = self._steps[stage.number]
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
            self._warn(finding)
        return state, scope

    async def _begin(self, stage: PlannedStage, site: Site) -> tuple[State, Scope | None]:
        if stage.base.stage is not None:
            state, scope = self._stages[stage.base.stage].result()
            return state.heir(), scope
        if stage.base.image == SCRATCH:
            wanted = stage.platform
            asked = platforms.parse(self._request.platform) if self._request.platform else None
            return State(wanted or asked or platforms.host(), with_path(Described())), None
        record = await self._image(stage.base.image, stage.platform)
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
        return self._stack(layering, await self._image(origin.image))

    async def _root(self, layering: Layering, origin: Origin) -> int:
        """Open the files of another stage, or of an image, for reading."""
        return await open_root(await layering.open(await self._files(layering, origin)))

    # -- the image

    async def _name(self, state: State, made: Made) -> ImageRecord:
        """Write the image of a state and give it the names that were asked for."""
        store = self._builds.image_store
        known = store.find(await state.image())
        if (
            known is not None
            and known.chain_ids
            and set(self._request.tags) <= set(known.references)
        ):
            return known  # nothing is to be written
        descriptor = await self._write(state, made)
        parent = state.base.id if state.base is not None else ""
        record = store.add(descriptor, self._request.tags, parent=parent)
        labels = record.config.defaults.labels or {}
        for tag in self._request.tags:
            attributes = {**labels, "name": tag.familiar}
            self._builds.events.publish("image", "tag", record.id, attributes)
        return record

    async def _keep(self, before: State, made: Made) -> str:
        """Keep the state before a step that failed as an image without a name."""
        if before.base is not None and not before.keys:
            return before.base.id
        if not before.stack:
            return ""
        descriptor = await self._write(before, made)
        parent = before.base.id if before.base is not None else ""
        return self._builds.image_store.add(descriptor, parent=parent).id

    async def _write(self, state: State, made: Made) -> model.Descriptor:
        document = await state.document()
        layers = [(await layer.finished).blob for layer in state.stack]
        docker = state.base is not None and (
            state.base.manifest.media_type == model.DOCKER_MANIFEST
        )
        kind = model.DOCKER_MANIFEST if docker else model.OCI_MANIFEST
        blobs = self._builds.blobs
        content = await asyncio.to_thread(blobs.put, model.encode(document))
        manifest = model.Manifest(
            media_type=kind,
            config=model.Descriptor(
                model.DOCKER_CONFIG if docker else model.OCI_CONFIG, content.digest, content.size
            ),
            layers=tuple(_described(layer, docker=docker) for layer in layers),
        )
        made.blobs.add(content.digest)
        stored = await asyncio.to_thread(blobs.put, model.encode(manifest))
        made.blobs.add(stored.digest)
        return model.Descriptor(kind, stored.digest, stored.size)


def _described(layer: model.Descriptor, *, docker: bool) -> model.Descriptor:
    """Describe a layer in the terms of its image: registries refuse a mixture."""
    known = {
        model.OCI_LAYER_GZIP: model.DOCKER_LAYER_GZIP,
        model.DOCKER_LAYER_GZIP: model.OCI_LAYER_GZIP,
    }
    if docker == (layer.media_type == model.OCI_LAYER_GZIP):
        kind = known.get(layer.media_type, layer.media_type)
        return model.Descriptor(kind, layer.digest, layer.size)
    return layer
