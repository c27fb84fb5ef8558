"""The build checks: what is allowed in a Dockerfile and likely not meant.

Names and words are those of https://docs.docker.com/reference/build-checks/. `UndefinedVar` is
found while a stage's variables are followed (`scope.Scope.findings`), since it depends on the
base image, and `NoEmptyContinuation` by the reader.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ipycontainer_runtime.build import expand
from ipycontainer_runtime.build import instructions as known
from ipycontainer_runtime.build.amounts import truth
from ipycontainer_runtime.build.ignore import Ignore
from ipycontainer_runtime.build.instructions import Instruction
from ipycontainer_runtime.build.parse import Dockerfile, Stage
from ipycontainer_runtime.build.plan import Plan, PlannedStage
from ipycontainer_runtime.build.source import DockerfileError, Finding, Span
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
_EXPERIMENTAL = frozenset({"InvalidDefinitionDescription"})
_RESERVED = ("scratch", "context")
_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)",
    re.IGNORECASE,
)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
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


def check(plan: Plan, ignore: Ignore | None = None) -> list[Finding]:
    """Return what the checks find, by line, less what the Dockerfile skips."""
    dockerfile = plan.dockerfile
    wanted = choice(dockerfile)
    found = [
        *dockerfile.warnings,
        *_names(dockerfile),
        *_casing(dockerfile),
        *_bases(plan),
        *(finding for stage in plan.needed for finding in _stage(stage, plan, ignore)),
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
                f'Stage name should not use the same name as reserved stage "{name}"',
                span,
            )
        if name in seen:
            yield Finding(
                "DuplicateStageName",
                f'Duplicate stage name "{name}", stage names should be unique',
                span,
            )
        seen.add(name)
        if from_ != (from_.lower() if as_ == as_.lower() else from_.upper()):
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
            yield from _platform(base, plan)
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


def _platform(base: known.From, plan: Plan) -> Iterator[Finding]:
    text = base.platform
    if text in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        yield Finding(
            "RedundantTargetPlatform",
            f"Setting platform to predefined {text} in FROM is redundant "
            "as this is the default behavior",
            base.span,
        )
    if "$" not in text and not base.stage:
        message = f'FROM --platform flag should not use constant value "{text}"'
        yield Finding("FromPlatformFlagConstDisallowed", message, base.span)


def _is_reference(image: str) -> bool:
    try:
        Reference.parse(image)
    except InvalidParameter:
        return False
    return True


def _stage(stage: PlannedStage, plan: Plan, ignore: Ignore | None) -> Iterator[Finding]:
    """Look at one stage, in the order of its instructions."""
    own = stage.instructions[stage.triggers :]
    shell = _shell_is_set(stage, plan)
    folder = _folder_is_set(stage, plan)
    for keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
        yield from _repeated(keyword, own)
    for each in own:
        if isinstance(each, known.Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            yield Finding("MaintainerDeprecated", message, each.span)
        elif isinstance(each, known.Shell):
            shell = True
        elif isinstance(each, known.Workdir):
            if not folder and not each.path.lstrip("\"'").startswith(("/", "$")):
                yield Finding(
                    "WorkdirRelativePath",
                    f'Relative workdir "{each.path}" can have unexpected results '
                    "if the base image changes",
                    each.span,
                )
            folder = True
        elif isinstance(each, known.Cmd | known.Entrypoint) and each.command.shell and not shell:
            yield Finding(
                "JSONArgsRecommended",
                f"JSON arguments recommended for {each.keyword} to prevent unintended behavior "
                "related to OS signals",
                each.span,
            )
        yield from _pairs(each)
        yield from _ports(each)
        yield from _ignored(each, ignore)


def _beneath(stage: PlannedStage, plan: Plan) -> Iterator[Instruction]:
    """Yield the instructions of the stages that this one is built on."""
    number = stage.base.stage
    while number is not None:
        yield from plan.stages[number].instructions
        number = plan.stages[number].base.stage


def _shell_is_set(stage: PlannedStage, plan: Plan) -> bool:
    return any(isinstance(each, known.Shell) for each in _beneath(stage, plan))


def _folder_is_set(stage: PlannedStage, plan: Plan) -> bool:
    return any(isinstance(each, known.Workdir) for each in _beneath(stage, plan))


def _repeated(keyword: str, instructions: Iterable[Instruction]) -> Iterator[Finding]:
    spans: list[Span] = [each.span for each in instructions if each.keyword == keyword]
    for span in spans[:-1]:
        yield Finding(
            "MultipleInstructionsDisallowed",
            f"Multiple {keyword} instructions should not be used in the same stage "
            "because only the last one will be used",
            span,
        )


def _pairs(each: Instruction) -> Iterator[Finding]:
    names: list[str] = []
    if isinstance(each, known.Env | known.Label):
        keyword = each.keyword
        if any(pair.legacy for pair in each.pairs):
            yield Finding(
                "LegacyKeyValueFormat",
                f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" '
                "format",
                each.span,
            )
        names = [pair.name for pair in each.pairs] if isinstance(each, known.Env) else []
    elif isinstance(each, known.Arg):
        names = [argument.name for argument in each.arguments]
    for name in names:
        if _SECRET.search(name) and not _PUBLIC.search(name):
            yield Finding(
                "SecretsUsedInArgOrEnv",
                f'Do not use ARG or ENV instructions for sensitive data ({each.keyword} "{name}")',
                each.span,
            )


def _ports(each: Instruction) -> Iterator[Finding]:
    for port in each.ports if isinstance(each, known.Expose) else ():
        protocol = port.partition("/")[2]
        if "$" not in protocol and protocol != protocol.lower():
            message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield Finding("ExposeProtoCasing", message, each.span)
        if ":" in port and "$" not in port:
            yield Finding(
                "ExposeInvalidFormat",
                "EXPOSE instruction should not define an IP address or host-port mapping, "
                f"found '{port}'",
                each.span,
            )


def _ignored(each: Instruction, ignore: Ignore | None) -> Iterator[Finding]:
    if ignore is None or not isinstance(each, known.Copy | known.Add):
        return
    if isinstance(each, known.Copy) and each.origin:
        return
    for source in each.sources:
        path = source.strip("/").removeprefix("./")
        plain = path and not set(path) & set("*?[$\"'") and "://" not in path
        if plain and ignore.excludes(path):
            yield Finding(
                "CopyIgnoredFile",
                f'Attempting to {each.keyword.capitalize()} file "{source}" '
                "that is excluded by .dockerignore",
                each.span,
            )


def _descriptions(dockerfile: Dockerfile) -> Iterator[Finding]:
    """Look at comments right above a named stage or an ARG: `# name what it is for`."""
    described = [
        *((each, [argument.name for argument in each.arguments]) for each in dockerfile.arguments),
        *((stage.base, [stage.name]) for stage in dockerfile.stages if stage.name),
    ]
    for each, names in described:
        if not each.comments or any(
            comment.split(maxsplit=1)[0] in names for comment in each.comments
        ):
            continue
        message = f"Comment for {names[0]} should follow the format: `# {names[0]} <description>`"
        yield Finding("InvalidDefinitionDescription", message, each.span)
