"""The build checks: what is allowed in a Dockerfile and likely not meant.

Names and words are those of https://docs.docker.com/reference/build-checks/. They look at the
instructions with their variables' values in, so they need the environments of the base images.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from ipycontainer_runtime.build import expand
from ipycontainer_runtime.build import instructions as known
from ipycontainer_runtime.build.amounts import truth
from ipycontainer_runtime.build.ignore import Ignore
from ipycontainer_runtime.build.instructions import Instruction
from ipycontainer_runtime.build.parse import Dockerfile, Stage
from ipycontainer_runtime.build.plan import Plan
from ipycontainer_runtime.build.source import DockerfileError, Finding, quoted
from ipycontainer_runtime.build.stagechecks import stage_findings
from ipycontainer_runtime.build.suggest import closest
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.reference import Reference

RULES = frozenset(
    {
        *("StageNameCasing", "FromAsCasing", "NoEmptyContinuation", "ConsistentInstructionCasing"),
        *("DuplicateStageName", "ReservedStageName", "JSONArgsRecommended", "UndefinedVar"),
        *("MaintainerDeprecated", "UndefinedArgInFrom", "WorkdirRelativePath", "CopyIgnoredFile"),
        *("MultipleInstructionsDisallowed", "LegacyKeyValueFormat", "RedundantTargetPlatform"),
        *("SecretsUsedInArgOrEnv", "InvalidDefaultArgInFrom", "FromPlatformFlagConstDisallowed"),
        *("ExposeProtoCasing", "ExposeInvalidFormat", "InvalidDefinitionDescription"),
    }
)
_EXPERIMENTAL = frozenset({"InvalidDefinitionDescription", "CopyIgnoredFile"})
_TARGET = re.compile(r"\$TARGETPLATFORM|\$\{TARGETPLATFORM[^}]*\}")
_LONGEST_IMAGE = 4096
"""Characters of a registry, path, tag and digest together are far fewer."""
_RESERVED = ("scratch", "context")


class Choice(msgspec.Struct, frozen=True):
    """What `# check=` says: rules to skip, whether a finding fails the build."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False

    def keeps(self, finding: Finding) -> bool:
        """Tell whether a finding is to be told."""
        if finding.rule in _EXPERIMENTAL and not self.experimental_all:
            return finding.rule in self.experimental
        return not self.skip_all and finding.rule not in self.skip


def choice(dockerfile: Dockerfile) -> Choice:
    """Read the `check` directive; InvalidParameter names what is none of its options."""
    found = Choice()
    for part in filter(None, dockerfile.directives.get("check", "").split(";")):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise InvalidParameter(f'invalid check option "{part}": write skip=…, error=true')
        found = _with(found, name, value)
    return found


def _with(now: Choice, name: str, value: str) -> Choice:
    names = frozenset(each.strip() for each in value.split(","))
    if name == "skip":
        return Choice(names, value == "all", now.experimental, now.experimental_all, now.error)
    if name == "experimental":
        return Choice(now.skip, now.skip_all, names, value == "all", now.error)
    if name != "error":
        raise InvalidParameter(f'invalid check option "{name}": use skip, error or experimental')
    try:
        return Choice(now.skip, now.skip_all, now.experimental, now.experimental_all, truth(value))
    except ValueError as error:
        raise InvalidParameter(f'failed to parse check option "error": {error}') from error


def check(
    plan: Plan, environments: Mapping[int, Sequence[str]], ignore: Ignore | None = None
) -> list[Finding]:
    """Return what the checks find in the needed stages, by line, less what is to be skipped.

    `environments` are those of the base images' configs, by the number of the stage; where one is
    not known, nothing is said of variables that it may have.
    """
    dockerfile = plan.dockerfile
    wanted = choice(dockerfile)
    found = [
        *dockerfile.warnings,
        *_names(dockerfile),
        *_casing(dockerfile),
        *_bases(plan),
        *stage_findings(plan, environments, ignore),
        *_descriptions(dockerfile),
    ]
    return sorted(filter(wanted.keeps, found), key=lambda finding: finding.span)


def refuse(dockerfile: Dockerfile, findings: Iterable[Finding]) -> None:
    """Raise when the Dockerfile wants findings to fail its build."""
    kept = list(findings)
    if kept and choice(dockerfile).error:
        raise DockerfileError(
            f"lint violation found for rules: {', '.join(sorted({each.rule for each in kept}))}",
            kept[0].span,
        )


def _names(dockerfile: Dockerfile) -> Iterator[Finding]:
    seen = set()
    for stage in dockerfile.stages:
        words = stage.base.source.split()
        name, span = stage.name, stage.base.span
        if not name:
            continue
        written, as_, from_ = words[-1], words[-2], words[0]
        if written != name:
            yield Finding("StageNameCasing", f"Stage name '{written}' should be lowercase", span)
        if name in _RESERVED:
            yield Finding(
                "ReservedStageName",
                f"Stage name should not use the same name as reserved stage {quoted(name)}",
                span,
            )
        if name in seen:
            yield Finding(
                "DuplicateStageName",
                f"Duplicate stage name {quoted(name)}, stage names should be unique",
                span,
            )
        seen.add(name)
        if (from_.islower() and not as_.islower()) or (from_.isupper() and not as_.isupper()):
            message = f"'{as_}' and '{from_}' keywords' casing do not match"
            yield Finding("FromAsCasing", message, span)


def _casing(dockerfile: Dockerfile) -> Iterator[Finding]:
    written = [
        (instruction.source.split(maxsplit=1)[0], instruction.span)
        for stage in dockerfile.stages
        for instruction in (stage.base, *stage.instructions)
    ]
    cases = Counter(word.islower() for word, _ in written if word.islower() or word.isupper())
    lower = cases[True] > cases[False]
    for word, span in written:
        if not (word.islower() if lower else word.isupper()):
            yield Finding(
                "ConsistentInstructionCasing",
                f"Command '{word}' should match the case of the command majority "
                f"({'lowercase' if lower else 'uppercase'})",
                span,
            )


def _bases(plan: Plan) -> Iterator[Finding]:
    """Look at what each FROM makes of its variables, as given and by their defaults alone."""
    for stage in plan.stages:
        base = stage.stage.base
        yield from _undeclared(stage.stage, plan)
        if base.platform:
            yield from _platform(base)
    defaults = plan.outside.by_default(plan.dockerfile.arguments)
    for stage in plan.stages:
        base = stage.stage.base
        try:
            image = expand.word(base.image, defaults, base.escape, set())
        except ValueError:
            image = ""
        if not _is_reference(image):
            yield Finding(
                "InvalidDefaultArgInFrom",
                f"Default value for ARG {base.image} results in empty or invalid base image name",
                base.span,
            )


def _undeclared(stage: Stage, plan: Plan) -> Iterator[Finding]:
    base = stage.base
    for text in filter(None, (base.image, base.platform)):
        missing: set[str] = set()
        expand.word(text, plan.outside.values, base.escape, missing)
        for name in sorted(missing - plan.outside.declared):
            near = closest(name, plan.outside.declared)
            message = f"FROM argument '{name}' is not declared{near}"
            yield Finding("UndefinedArgInFrom", message, base.span)


def _platform(base: known.From) -> Iterator[Finding]:
    text = base.platform
    if _TARGET.fullmatch(text):
        yield Finding(
            "RedundantTargetPlatform",
            f"Setting platform to predefined {text} in FROM is redundant "
            "as this is the default behavior",
            base.span,
        )
    # A stage that is named after its platform is meant for it.
    if "$" not in text and not any(part in base.stage for part in text.split("/")):
        message = f"FROM --platform flag should not use constant value {quoted(text)}"
        yield Finding("FromPlatformFlagConstDisallowed", message, base.span)


def _is_reference(image: str) -> bool:
    if len(image) > _LONGEST_IMAGE:
        return False
    try:
        Reference.parse(image)
    except InvalidParameter:
        return False
    return True


def _descriptions(dockerfile: Dockerfile) -> Iterator[Finding]:
    """Look at comments right above a named stage or an ARG: `# name what it is for`."""
    inside = (each for stage in dockerfile.stages for each in stage.instructions)
    arguments = (each for each in (*dockerfile.arguments, *inside) if isinstance(each, known.Arg))
    described: list[tuple[Instruction, list[str]]] = [
        *((each, [argument.name for argument in each.arguments]) for each in arguments),
        *((stage.base, [stage.name]) for stage in dockerfile.stages if stage.name),
    ]
    for each, names in described:
        if not each.comments or any(
            comment.split(maxsplit=1)[0] in names for comment in each.comments
        ):
            continue
        keyword = each.keyword
        message = f"Comment for {keyword} should follow the format: `# {names[0]} <description>`"
        yield Finding("InvalidDefinitionDescription", message, each.span)
