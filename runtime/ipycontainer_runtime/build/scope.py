"""What variables are at each instruction: ARG before the first FROM, ARG and ENV in a stage.

The rules are those of Docker's reference (ARG, ENV):

- An ARG before the first FROM is outside of every stage: FROM alone sees it, and a stage that
  declares the name without a default gets its value.
- A variable is defined from its ARG on; a stage based on another has the other's.
- What the build is given (--build-arg) comes before the default; ENV always hides ARG.
- Proxies are given to RUN without an ARG, and are then neither in the history nor in a cache key.
- TARGETPLATFORM and its like are there for FROM, and in a stage once it declares them.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from ipycontainer_runtime.build import expand
from ipycontainer_runtime.build.instructions import Arg, Argument, Env, Instruction
from ipycontainer_runtime.build.source import DockerfileError, Finding, Span
from ipycontainer_runtime.build.suggest import closest
from ipycontainer_runtime.oci.platform import Platform

PROXIES = tuple(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower, lower.upper())
)
"""Arguments that need no ARG: https://docs.docker.com/reference/dockerfile/#predefined-args"""
_MOST = 4 << 20
"""Characters of all variables of a stage; each may double those before it."""

AnyInstruction = TypeVar("AnyInstruction", bound=Instruction)


class Globals(msgspec.Struct, frozen=True):
    """The variables outside of stages. `values` is what FROM sees, `given` what the build got."""

    given: Mapping[str, str]
    values: Mapping[str, str]
    declared: frozenset[str] = frozenset()
    """The names that an ARG before the first FROM declares, or that are predefined."""
    predefined: Mapping[str, str] = msgspec.field(default_factory=dict)

    def by_default(self, arguments: Sequence[Arg]) -> dict[str, str]:
        """Return what FROM would see had the build been given nothing."""
        values, _ = _defined(arguments, {}, self.predefined)
        return values


def global_scope(
    arguments: Sequence[Arg],
    given: Mapping[str, str | None],
    *,
    build: Platform,
    target: Platform,
    stage: str = "",
) -> Globals:
    """Return the variables for FROM. `given` are the build's arguments, None for those unset."""
    present = {name: value for name, value in given.items() if value is not None}
    predefined = {**_platform("BUILD", build), **_platform("TARGET", target)}
    predefined["TARGETSTAGE"] = stage or "default"
    values, declared = _defined(arguments, present, predefined)
    return Globals(present, values, declared, predefined)


def _defined(
    arguments: Sequence[Arg], given: Mapping[str, str], predefined: Mapping[str, str]
) -> tuple[dict[str, str], frozenset[str]]:
    """Return the variables for FROM, and the names that are declared, with a value or not."""
    values = {name: given.get(name, value) for name, value in predefined.items()}
    declared = set(values)
    for instruction in arguments:
        for argument in instruction.arguments:
            value = _value(argument, instruction, given, {}, values, set())
            declared.add(argument.name)
            if value is not None:
                values[argument.name] = value
        _refuse_explosion(values, instruction.span)
    return values, frozenset(declared)


def _platform(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant or "",
    }


def _value(
    argument: Argument,
    instruction: Arg,
    given: Mapping[str, str],
    inherited: Mapping[str, str],
    variables: Mapping[str, str],
    missing: set[str],
) -> str | None:
    """Return what ARG makes of a name: given, else its default, else what is outside."""
    if argument.name in given:
        return given[argument.name]
    if argument.default is None:
        return inherited.get(argument.name)
    try:
        return expand.word(argument.default, variables, instruction.escape, missing)
    except ValueError as error:
        raise DockerfileError(str(error), instruction.span, instruction.keyword) from error


def _refuse_explosion(variables: Mapping[str, str], span: Span) -> None:
    if sum(map(len, variables.values())) > _MOST:
        raise DockerfileError(f"the variables have more than {_MOST} characters together", span)


class Scope:
    """The variables of one stage, which `follow` takes through its instructions in order.

    `env` is the environment of the base image's config, `base` the scope of the stage that this
    one is built on, at its end.
    """

    def __init__(
        self, outside: Globals, env: Sequence[str] | None, base: "Scope | None" = None
    ) -> None:
        self._outside = outside
        self._env = dict(entry.partition("=")[::2] for entry in env or ())
        self._arguments: dict[str, str | None] = dict(base._arguments) if base else {}
        self.findings: list[Finding] = []

    @property
    def variables(self) -> dict[str, str]:
        """What `$NAME` stands for now."""
        set_ = {name: value for name, value in self._arguments.items() if value is not None}
        return {**set_, **self._env}

    @property
    def environment(self) -> list[str]:
        """The environment of the config that the stage has come to."""
        return [f"{name}={value}" for name, value in self._env.items()]

    @property
    def arguments(self) -> dict[str, str]:
        """The declared arguments that a RUN has in its environment: in its history and its key."""
        return {
            name: value
            for name, value in self._arguments.items()
            if value is not None and name not in self._env
        }

    @property
    def proxies(self) -> dict[str, str]:
        """The proxies that were given and not declared: a RUN has them, and nothing keeps them."""
        return {
            name: self._outside.given[name]
            for name in PROXIES
            if name in self._outside.given and name not in self._arguments
        }

    def follow(self, instruction: AnyInstruction) -> AnyInstruction:
        """Return the instruction expanded, and know what it sets for those that come.

        An ARG keeps its default, expanded where it counts; what it came to is in `arguments`.
        """
        missing: set[str] = set()
        names = tuple(self.variables)
        if isinstance(instruction, Arg):
            result: Instruction = self._declare(instruction, missing)
        else:
            result = expand.expanded(instruction, self.variables, missing)
        if isinstance(result, Env):
            self._env.update((pair.name, pair.value) for pair in result.pairs)
            _refuse_explosion(self.variables, instruction.span)
        self._note(missing, names, instruction)
        return result  # type: ignore[return-value] # expanding keeps the kind of instruction

    def _declare(self, instruction: Arg, missing: set[str]) -> Arg:
        """Declare names in order, so that a default may have those before it."""
        arguments: list[Argument] = []
        for written in instruction.arguments:
            given, inherited = self._outside.given, self._outside.values
            value = _value(written, instruction, given, inherited, self.variables, missing)
            if value is None:  # the stage that this one is built on may have set it
                value = self._arguments.get(written.name)
            self._arguments[written.name] = value
            counts = written.name not in given and written.default is not None
            arguments.append(Argument(written.name, value) if counts else written)
        _refuse_explosion(self.variables, instruction.span)
        return replace(instruction, arguments=tuple(arguments))

    def _note(self, missing: set[str], known: Sequence[str], instruction: Instruction) -> None:
        for name in sorted(missing - set(self._arguments)):
            near = closest(name, known).replace("did you mean ", "did you mean $")
            message = f"Usage of undefined variable '${name}'{near}"
            self.findings.append(Finding("UndefinedVar", message, instruction.span))
