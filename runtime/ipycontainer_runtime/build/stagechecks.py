"""The build checks that follow a stage through its instructions, with their variables' values."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from ipycontainer_runtime.build import expand
from ipycontainer_runtime.build import instructions as known
from ipycontainer_runtime.build.ignore import Ignore
from ipycontainer_runtime.build.instructions import Instruction
from ipycontainer_runtime.build.plan import SCRATCH, Plan, PlannedStage
from ipycontainer_runtime.build.scope import Scope
from ipycontainer_runtime.build.source import DockerfileError, Finding, Span, quoted

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)",
    re.IGNORECASE,
)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)


class _State(msgspec.Struct):
    """What a stage has come to, which one that is based on it begins with."""

    scope: Scope
    known: bool
    """Whether all variables are known, those of the base image too."""
    shell: bool = False
    folder: bool = False


def stage_findings(
    plan: Plan, environments: Mapping[int, Sequence[str]], ignore: Ignore | None
) -> Iterator[Finding]:
    """Follow every stage that is needed; where a variable is refused, its build says so."""
    states: dict[int, _State] = {}
    for stage in plan.needed:
        below = None if stage.base.stage is None else states[stage.base.stage]
        env = below.scope.environment if below else environments.get(stage.number)
        scope = Scope(plan.outside, env or ("PATH=/bin",), below.scope if below else None)
        state = _State(scope, env is not None or stage.base.image == SCRATCH)
        if below:
            state = _State(scope, below.known, below.shell, below.folder)
        states[stage.number] = state
        with contextlib.suppress(DockerfileError):
            yield from _stage(stage, state, ignore)
        if state.known:
            yield from scope.findings


def _stage(stage: PlannedStage, state: _State, ignore: Ignore | None) -> Iterator[Finding]:
    """Look at one stage, in the order of its instructions."""
    for keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
        yield from _repeated(keyword, stage.instructions[stage.triggers :])
    for number, written in enumerate(stage.instructions):
        each = state.scope.follow(written)
        if number < stage.triggers:
            continue
        yield from _plain(each, state)
        yield from _pairs(each)
        yield from _ports(written, state)
        yield from _ignored(each, ignore)


def _plain(each: Instruction, state: _State) -> Iterator[Finding]:
    if isinstance(each, known.Maintainer):
        message = "Maintainer instruction is deprecated in favor of using label"
        yield Finding("MaintainerDeprecated", message, each.span)
    elif isinstance(each, known.Shell):
        state.shell = True
    elif isinstance(each, known.Workdir):
        if not state.folder and state.known and not each.path.startswith("/"):
            yield Finding(
                "WorkdirRelativePath",
                f"Relative workdir {quoted(each.path)} can have unexpected results "
                "if the base image changes",
                each.span,
            )
        state.folder = True
    elif isinstance(each, known.Cmd | known.Entrypoint) and each.command.shell and not state.shell:
        yield Finding(
            "JSONArgsRecommended",
            f"JSON arguments recommended for {each.keyword} to prevent unintended behavior "
            "related to OS signals",
            each.span,
        )


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


def _ports(written: Instruction, state: _State) -> Iterator[Finding]:
    if not isinstance(written, known.Expose):
        return
    for port in expand.words(written.ports, state.scope.variables, written.escape):
        protocol = port.partition("/")[2]
        if protocol != protocol.lower():
            message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield Finding("ExposeProtoCasing", message, written.span)
        if ":" in port:
            yield Finding(
                "ExposeInvalidFormat",
                "EXPOSE instruction should not define an IP address or host-port mapping, "
                f"found '{port}'",
                written.span,
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
