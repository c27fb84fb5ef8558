"""What a build will do: its Dockerfile planned, its steps numbered, its base images had."""

import asyncio
from collections.abc import Sequence

from ipycontainer_runtime.build.checks import check, refuse
from ipycontainer_runtime.build.instructions import Instruction, Label, Pair
from ipycontainer_runtime.build.parse import parse
from ipycontainer_runtime.build.plan import SCRATCH, Plan, PlannedStage, plan
from ipycontainer_runtime.build.scope import global_scope
from ipycontainer_runtime.build.source import Finding
from ipycontainer_runtime.engine.building.bases import Bases
from ipycontainer_runtime.engine.building.failures import StepFailed
from ipycontainer_runtime.engine.building.output import Output, Step
from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.engine.building.state import State
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.store.images import ImageRecord


class Planning:
    """Plans one build; `steps` are those of each stage, by its number, once `plan` has returned."""

    def __init__(self, text: str, request: BuildRequest, bases: Bases, output: Output) -> None:
        self._text = text
        self._request = request
        self._bases = bases
        self._output = output
        self.steps: dict[int, list[tuple[Instruction, Step]]] = {}

    async def plan(self) -> Plan:
        """Return what is to be done; raises what is wrong with the Dockerfile or a base image."""
        read = parse(self._text)
        request = self._request
        host = platforms.host()
        target = platforms.parse(request.platform) if request.platform else host
        outside = global_scope(
            read.arguments, request.arguments, build=host, target=target, stage=request.target
        )
        found = plan(read, outside, request.target)
        self._number(found)
        await self._pull(found)
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
            self.warn(finding)
        refuse(read, findings)
        self._fill(found)
        return found

    def warn(self, finding: Finding) -> None:
        """Tell what a check has found, with its lines."""
        first, last = finding.span.first, finding.span.last
        lines = "\n".join(self._text.split("\n")[first - 1 : last])
        message = f"{finding.rule}: {finding.message}"
        self._output.warn({"first": first, "last": last, "message": message, "text": lines})

    async def _pull(self, found: Plan) -> None:
        """Have what stages begin with, side by side, each told as its first step."""
        for stage in found.needed:
            if stage.base.image and stage.base.image != SCRATCH:
                step = self.steps[stage.number][0][1]
                self._bases.want(stage.base.image, stage.platform, step)
        if self._bases.tasks:
            await asyncio.wait(self._bases.tasks)

    async def _base(self, stage: PlannedStage) -> ImageRecord:
        """Return the image that a stage begins with; without it the stage's FROM has failed."""
        try:
            return await self._bases.image(stage.base.image, stage.platform)
        except ContainerError as error:
            base = stage.stage.base
            # A stage that only a trigger needs has no number yet.
            known = self.steps.get(stage.number)
            step = known[0][1] if known else Step(stage.title, 0, 0, base.source, base.span)
            self._output.end(step, "failed")
            raise StepFailed(error, step, State(stage.platform or platforms.host())) from error

    def _number(self, found: Plan) -> None:
        """Number the steps of all stages that will be built, in the Dockerfile's order."""
        for stage in found.needed:
            instructions = [stage.stage.base, *stage.stage.instructions]
            if stage.number == found.target and self._request.labels:
                instructions += self._labels(stage)
            self.steps[stage.number] = [
                (instruction, Step(stage.title, 0, 0, instruction.source, instruction.span))
                for instruction in instructions
            ]
        steps = [step for number in sorted(self.steps) for _, step in self.steps[number]]
        for number, step in enumerate(steps, 1):
            step.number, step.total = number, len(steps)
        for _, step in self.steps[found.target][-len(self._request.labels) or len(steps) :]:
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
        if any(stage.number not in self.steps for stage in found.needed):
            self.steps.clear()
            self._number(found)
        for stage in found.needed:
            steps = self.steps[stage.number]
            steps[1:1] = [
                (instruction, _trigger(steps[0][1], instruction, number, stage.triggers))
                for number, instruction in enumerate(stage.instructions[: stage.triggers], 1)
            ]
        self._output.planned([s for n in sorted(self.steps) for _, s in self.steps[n]])


def _trigger(base: Step, instruction: Instruction, number: int, triggers: int) -> Step:
    return Step(
        base.stage,
        base.number,
        base.total,
        instruction.source,
        base.span,
        trigger=number,
        triggers=triggers,
    )
