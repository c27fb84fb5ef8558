"""One stage: its instructions in order, each from the cache or done.

Until a step is missed, every key is looked up, and all layers are known; from then on steps are
done, since whatever they stand on is new. What they make is packed and remembered beside.
"""

import asyncio
import posixpath
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ipycontainer_runtime.build.instructions import (
    Add,
    Copy,
    Instruction,
    Run,
    Workdir,
)
from ipycontainer_runtime.build.plan import Origin, PlannedStage
from ipycontainer_runtime.build.scope import Scope
from ipycontainer_runtime.engine.building import cache as caching
from ipycontainer_runtime.engine.building import config as configs
from ipycontainer_runtime.engine.building.cache import Cache
from ipycontainer_runtime.engine.building.cachefrom import Proven
from ipycontainer_runtime.engine.building.failures import StepFailed
from ipycontainer_runtime.engine.building.layering import Delta, Layer, Layering, Stack
from ipycontainer_runtime.engine.building.output import Output, Step
from ipycontainer_runtime.engine.building.persistent import Persistent
from ipycontainer_runtime.engine.building.placing import Destination, make_folder
from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.engine.building.sandbox import Machine, Sandbox
from ipycontainer_runtime.engine.building.state import State
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import ContainerError, InvalidParameter, shortage


@dataclass
class Site:
    """What the stages of one build share."""

    request: BuildRequest
    machine: Machine
    layering: Layering
    cache: Cache
    proven: Proven
    output: Output
    room: Callable[[], Awaitable[None]]
    """Waits until the client has read what it was told."""
    folder: Path
    """The build's own, which goes with it."""
    context: Path
    root: Callable[[Origin], Awaitable[int]]
    """Opens the root of another stage or an image for reading; the caller closes it."""
    epoch: int | None
    stack: Callable[[Origin], Awaitable[Stack]]
    """Returns the layers of another stage or an image."""
    persistent: Persistent
    used: list[str] = field(default_factory=list)
    """The keys of all steps so far."""

    def now(self) -> str:
        """Return the time of a step that is done now."""
        return rfc3339(time.time_ns() if self.epoch is None else self.epoch * 1_000_000_000)


class StageBuild:
    """Builds one stage of the plan."""

    def __init__(self, site: Site, planned: PlannedStage, state: State, scope: Scope) -> None:
        self.site = site
        self.planned = planned
        self.state = state
        self.scope = scope
        self._cached = not site.request.no_cache
        self._telling: asyncio.Task[None] | None = None
        self._remembering: list[asyncio.Task[None]] = []
        self._sandbox: Sandbox | None = None

    @property
    def sandbox(self) -> Sandbox:
        """Where this stage's commands run; prepared when the first does."""
        if self._sandbox is None:
            name = f"stage-{self.planned.number}"
            self._sandbox = Sandbox(
                self.site.machine, self.site.request.host, self.site.folder, name
            )
        return self._sandbox

    async def run(self, steps: "list[tuple[Instruction, Step]]") -> State:
        """Do every instruction and return what came of it, all told and remembered."""
        try:
            for instruction, step in steps:
                await self._step(instruction, step)
            return self.state
        finally:
            await self._settle()

    async def _settle(self) -> None:
        """Wait until everything is told and remembered, also of a stage that failed."""
        tasks = [*self._remembering, *([self._telling] if self._telling else [])]
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def _step(self, instruction: Instruction, step: Step) -> None:
        output = self.site.output
        before = self.state
        output.begin(step)
        try:
            hit = await self._do(instruction, step)
        except asyncio.CancelledError:
            raise
        except ContainerError as error:
            await self._failed(step)
            raise StepFailed(error, step, before) from error
        except OSError as error:
            await self._failed(step)
            cause = shortage(error, "cannot do the step") or InvalidParameter(
                f"{instruction.keyword} failed: {error.strerror}"
            )
            raise StepFailed(cause, step, before) from error
        output.end(step, "cached" if hit else "done")
        self.tell(step)

    async def _failed(self, step: Step) -> None:
        """Tell that a step has failed, after the states of those before it."""
        if self._telling is not None:
            await asyncio.wait([self._telling])
        self.site.output.end(step, "failed")

    def tell(self, step: Step) -> None:
        """Tell the state after a step, after those before it, once its layers are known."""
        self._telling = asyncio.create_task(self._tell(step, self.state, self._telling))

    async def _tell(self, step: Step, state: State, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        image = await state.image()
        if state.stack and state.history and not state.history[-1].empty_layer and state.keys:
            chain = (await state.stack[-1].finished).chain_id
            step.size = self.site.layering.layers.total([chain])
        self.site.output.settled(step, image)

    async def _do(self, instruction: Instruction, step: Step) -> bool:
        """Do an instruction; True when the cache had it."""
        known = instruction if step.given else self.scope.follow(instruction)
        if isinstance(known, Run):
            from ipycontainer_runtime.engine.building.running import run

            return await run(self, known, step)
        if isinstance(known, Copy | Add):
            from ipycontainer_runtime.engine.building.transfer import transfer

            return await transfer(self, known, step)
        described, told = configs.apply(self.state.described, known)
        words = configs.no_file_changed(described.shell, told)
        if isinstance(known, Workdir):
            return await self._workdir(step, described, words)

        async def key(before: State) -> str:
            return caching.key(
                "config", state=await before.image(), told=words, epoch=self.site.epoch
            )

        return await self.done(step, key, words, None, described=described)

    async def _workdir(self, step: Step, described: configs.Described, told: str) -> bool:
        user = described.config.user or ""
        destination = Destination(described.folder, user, epoch=self.site.epoch)

        async def make(delta: Delta) -> None:
            await make_folder(delta, destination)

        async def key(before: State) -> str:
            return caching.key(
                "workdir",
                chain=await before.chain(),
                folder=described.folder,
                user=user,
                epoch=self.site.epoch,
            )

        return await self.done(step, key, told, make, described=described)

    async def done(
        self,
        step: Step,
        key: "Key",
        told: str,
        make: "Make | None",
        *,
        described: configs.Described | None = None,
        alone: bool = False,
        worded: bool = True,
    ) -> bool:
        """Take a step from the cache, or have `make` do it; True when it was there.

        `told` is the step in the words of the history; `worded` says that all its inputs are in
        them. A step without `make` changes no file, one that is `alone` sees none of those before,
        so that its layer fits on any others and its key has none of them.
        """
        before, described = self.state, described or self.state.described
        # What is alone has nothing of the steps before in its key, so they may have been missed.
        looks = self._cached or (alone and not self.site.request.no_cache)
        known = await key(before) if looks else ""
        if known and (record := self._found(known, told, worded)) is not None:
            self.site.output.line(step, " ---> Using cache")
            layer = await self._layer(record, alone=alone)
            self._advance(described, told, record.created, layer, known)
            return True
        layer = None
        if make is not None:
            layer = await self._made(make, () if alone else before.stack)
            self._cached = False
        created = self.site.now()
        remembering = self._remember(before, known, key, layer, told, created)
        self._remembering.append(asyncio.create_task(remembering))
        self._advance(described, told, created, layer, "new")
        return False

    def _found(self, key: str, told: str, worded: bool) -> caching.Record | None:
        record = self.site.cache.find(key)
        if record is not None:
            self.site.used.append(key)
            return record
        # Believed for this build, which named the image, and never kept for others.
        record = self.site.proven.find(self.state, told) if worded else None
        if record is None or self.site.epoch is None or record.created == self.site.now():
            return record
        return None

    async def _layer(self, record: caching.Record, *, alone: bool) -> Layer | None:
        if not record.diff_id:
            return None
        assert record.blob is not None, "who has a layer has its blob"
        if alone:
            return await self.site.layering.again(record.diff_id, record.blob, self.state.stack)
        return self.site.layering.known(record.diff_id, record.chain_id, record.blob)

    def _advance(
        self,
        described: configs.Described,
        told: str,
        created: str,
        layer: Layer | None,
        key: str,
    ) -> None:
        after = self.state.after(described, told, created, layer)
        self.state = replace(after, keys=(*self.state.keys, key))

    async def _made(self, make: Callable[[Delta], Awaitable[None]], over: Stack) -> Layer | None:
        """Do a step over some layers; None where it changed no file."""
        layering = self.site.layering
        delta = await layering.open(over)
        try:
            await make(delta)
            async with layering.still():
                changed = await asyncio.to_thread(delta.close)
            if not changed:
                return None
        except BaseException:
            delta.discard()
            raise
        return layering.begin(delta, self.state.stack)

    async def _remember(
        self,
        before: State,
        known: str,
        key: "Key",
        layer: Layer | None,
        told: str,
        created: str,
    ) -> None:
        """Put a step into the cache once its layer is whole."""
        record = caching.Record(created=created, step=told)
        known = known or await key(before)
        if layer is not None:
            finished = await layer.finished
            record.diff_id, record.chain_id = finished.diff_id, finished.chain_id
            record.blob = finished.blob
        self.site.cache.keep(known, record)
        self.site.used.append(known)


Key = Callable[[State], Awaitable[str]]
"""Returns a step's key over the state before it, once all layers of that are known."""
Make = Callable[[Delta], Awaitable[None]]
"""Does a step in the place for what it writes."""


def absolute(folder: str, path: str) -> str:
    """Return a path of the image, with the final `/` that it was given or that `.` means."""
    whole = posixpath.normpath(posixpath.join("/", folder, path))
    whole = "/" + whole.lstrip("/")
    ends = path.endswith(("/", "/.")) or path == "."
    return whole.rstrip("/") + "/" if ends else whole
