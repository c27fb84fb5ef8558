"""Which stages a target needs, and where each gets its files from.

Names are found without regard to case, among the stages before; a later stage of the same name
hides an earlier one. What names no stage is an image.
"""

import bisect
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ipycontainer_runtime.build import expand
from ipycontainer_runtime.build.instructions import Arg, Copy, Instruction, OnBuild, Run
from ipycontainer_runtime.build.parse import Dockerfile, Stage, parse_trigger
from ipycontainer_runtime.build.scope import PROXIES, Globals
from ipycontainer_runtime.build.source import DockerfileError
from ipycontainer_runtime.build.suggest import closest
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform

SCRATCH = "scratch"
_Named = dict[str, list[int]]
"""The numbers of the stages by name, and each by its number, in ascending order."""


class Origin(msgspec.Struct, frozen=True):
    """Where files come from: a stage by its number, or else an image; `scratch` has none."""

    stage: int | None = None
    image: str = ""


class PlannedStage(msgspec.Struct, frozen=True):
    """A stage with its FROM resolved. ONBUILD triggers stand before its own instructions."""

    stage: Stage
    base: Origin
    platform: Platform | None
    """What FROM --platform asks for; None where the build's target is meant."""
    instructions: tuple[Instruction, ...]
    origins: Mapping[str, Origin]
    """Every --from and mount `from` of the stage, as written."""
    triggers: int = 0
    """How many of the instructions came from ONBUILD."""

    @property
    def number(self) -> int:
        """The stage's place in the Dockerfile, from 0."""
        return self.stage.number

    @property
    def title(self) -> str:
        """The stage's name, or stage-N."""
        return self.stage.name or f"stage-{self.number}"

    @property
    def needs(self) -> frozenset[int]:
        """The numbers of the stages that must be there first."""
        sources = (self.base, *self.origins.values())
        return frozenset(source.stage for source in sources if source.stage is not None)

    @property
    def images(self) -> tuple[str, ...]:
        """The images that files are copied or mounted from, without the base."""
        sources = self.origins.values()
        found = (source.image for source in sources if source.image not in ("", SCRATCH))
        return tuple(dict.fromkeys(found))


class Plan(msgspec.Struct, frozen=True):
    """The stages of a Dockerfile, and the number of the one that is wanted."""

    dockerfile: Dockerfile
    outside: Globals
    stages: tuple[PlannedStage, ...]
    target: int

    @property
    def needed(self) -> tuple[PlannedStage, ...]:
        """The stages that the target needs and itself, in the Dockerfile's order.

        Whatever a stage needs stands before it.
        """
        wanted = {self.target}
        for stage in reversed(self.stages[: self.target + 1]):
            if stage.number in wanted:
                wanted |= stage.needs
        return tuple(stage for stage in self.stages if stage.number in wanted)

    @property
    def unused_arguments(self) -> list[str]:
        """The build's arguments that no ARG declares and that mean nothing by themselves."""
        inside = (each for stage in self.stages for each in stage.instructions)
        declared = {
            argument.name for each in inside if isinstance(each, Arg) for argument in each.arguments
        }
        known = {*declared, *self.outside.declared, *PROXIES, "SOURCE_DATE_EPOCH"}
        given = set(self.outside.given) - known
        return sorted(name for name in given if not name.startswith("BUILDKIT_"))

    def with_triggers(self, number: int, triggers: Sequence[str]) -> "Plan":
        """Return the plan with ONBUILD triggers of a base image before a stage's instructions.

        They may need stages that were not needed before. Those of a stage beneath are there
        already.
        """
        stage = self.stages[number]
        parsed = [parse_trigger(trigger, stage.stage.base.span) for trigger in triggers]
        changed = _with(stage, parsed, _named(self.dockerfile))
        return replace(self, stages=(*self.stages[:number], changed, *self.stages[number + 1 :]))


def plan(dockerfile: Dockerfile, outside: Globals, target: str = "") -> Plan:
    """Resolve every FROM, --from and mount; `target` is a stage's name or number, "" the last."""
    # Origins are looked up among stages that may come later, to say so.
    earlier: dict[str, int] = {}
    all_ = []
    for each in dockerfile.stages:
        all_.append(_based(each, earlier, outside))
        if each.name:
            earlier[each.name] = each.number
    named = _named(dockerfile)
    stages = []
    for stage in all_:
        beneath = () if stage.base.stage is None else all_[stage.base.stage].instructions
        triggers = [
            parse_trigger(instruction.trigger, stage.stage.base.span)
            for instruction in beneath
            if isinstance(instruction, OnBuild)
        ]
        stages.append(_with(stage, triggers, named))
    return Plan(dockerfile, outside, tuple(stages), _target(named, target))


def _named(dockerfile: Dockerfile) -> _Named:
    named: _Named = {}
    for stage in dockerfile.stages:
        # A name that looks like a number cannot be given, so these do not meet.
        named.setdefault(str(stage.number), []).append(stage.number)
        if stage.name:
            named.setdefault(stage.name, []).append(stage.number)
    return named


def _based(stage: Stage, earlier: Mapping[str, int], outside: Globals) -> PlannedStage:
    """Return a stage with its FROM resolved, and no origins yet."""
    image = _word(stage, stage.base.image, outside)
    if not image:
        raise _wrong(stage, f"base name ({stage.base.image}) should not be blank")
    number = earlier.get(image.lower())
    base = Origin(image=image) if number is None else Origin(number)
    return PlannedStage(stage, base, _platform(stage, outside), stage.instructions, {})


def _platform(stage: Stage, outside: Globals) -> Platform | None:
    written = stage.base.platform
    if not written:
        return None
    text = _word(stage, written, outside)
    if not text:
        raise _wrong(stage, f"empty platform value from expression {written}")
    try:
        return platforms.parse(text)
    except InvalidParameter as error:
        raise _wrong(stage, f"failed to parse platform {written}: {error}") from error


def _word(stage: Stage, text: str, outside: Globals) -> str:
    try:
        return expand.word(text, outside.values, stage.base.escape, set())
    except ValueError as error:
        raise _wrong(stage, str(error)) from error


def _wrong(stage: Stage, reason: str) -> DockerfileError:
    return DockerfileError(reason, stage.base.span, stage.base.keyword)


def _with(stage: PlannedStage, triggers: Sequence[Instruction], named: _Named) -> PlannedStage:
    """Return a stage with triggers before its instructions, and all that it takes files from."""
    instructions = (*triggers, *stage.instructions)
    origins = {
        name: _origin(name, instruction, stage, named)
        for instruction in instructions
        for name in _names(instruction)
    }
    return replace(
        stage,
        instructions=instructions,
        origins=origins,
        triggers=stage.triggers + len(triggers),
    )


def _names(instruction: Instruction) -> tuple[str, ...]:
    if isinstance(instruction, Run):
        return instruction.origins
    if not isinstance(instruction, Copy) or not instruction.origin:
        return ()
    written = instruction.origin
    if "$" in written:
        raise DockerfileError(
            "variable expansion is not supported for --from, define a new stage with FROM using "
            f"ARG from global scope as a workaround: FROM {written} AS name",
            instruction.span,
            instruction.keyword,
        )
    return (written,)


def _origin(name: str, instruction: Instruction, stage: PlannedStage, named: _Named) -> Origin:
    number = _found(name, stage.number, named)
    if number is None:
        if isinstance(instruction, Copy) and _is_number(name):
            raise DockerfileError(
                f"invalid stage index {name}", instruction.span, instruction.keyword
            )
        return Origin(image=name)
    if number >= stage.number:
        raise DockerfileError(
            f'cannot copy from stage "{name}", '
            f'it needs to be defined before current stage "{stage.title}"',
            instruction.span,
            instruction.keyword,
        )
    return Origin(number)


def _found(name: str, current: int, named: _Named) -> int | None:
    """Return the number of the last stage before `current` with this name, or one after it."""
    # Zeros before a number mean nothing.
    numbers = named.get(str(int(name)) if _is_number(name) else name.lower(), [])
    place = bisect.bisect_left(numbers, current)
    return numbers[place - 1] if place else next(iter(numbers), None)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 10


def _target(named: _Named, target: str) -> int:
    if not target:
        return max(numbers[-1] for numbers in named.values())
    number = _found(target, len(named), named)
    if number is None:
        names = [name for name in named if not _is_number(name)]
        raise InvalidParameter(
            f'target stage "{target}" could not be found{closest(target, names)}'
        )
    return number
