"""What a RUN has beside its image: build arguments, mounts, a network. `debug` gives it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipycontainer_runtime.build.instructions import Instruction, Run

    from .dockerfile import Source
    from .steps import Step

# https://docs.docker.com/reference/dockerfile/#predefined-args
_PREDEFINED = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def conditions(
    source: Source, step: Step, parameters: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return flags of `run` that make a step's surroundings, and the mounts that none can make."""
    flags: list[str] = []
    missing: list[str] = []
    given = json.loads(parameters.get("buildargs") or "{}")
    before = _before(source, step)
    for name, value in _arguments(before, given).items():
        flags += ["-e", f"{name}={value}"]
    network = parameters.get("networkmode")
    for instruction in before[-1:]:
        if instruction.keyword == "RUN":
            run: Any = instruction
            network = network if run.network == "default" else run.network
            _mount(run, flags, missing)
    if network:
        flags += ["--network", network]
    return tuple(flags), tuple(missing)


def _before(source: Source, step: Step) -> list[Instruction]:
    """Return the instructions of the step's stage up to the step itself."""
    if source.read is None or not step.first:
        return []
    for stage in source.read.stages:
        found = [one for one in stage.instructions if one.span.first <= step.first]
        if found and found[-1].span.first == step.first:
            return found
    return []


def _arguments(before: list[Instruction], given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the values of the ARGs that are declared; one that needs a variable is left out."""
    declared: dict[str, str | None] = dict.fromkeys(_PREDEFINED)
    declared |= {name.lower(): None for name in _PREDEFINED}
    for instruction in before:
        if instruction.keyword == "ARG":
            arguments: Any = instruction
            declared |= {one.name: one.default for one in arguments.arguments}
    found = {name: given.get(name) or default for name, default in declared.items()}
    return {name: value for name, value in found.items() if value and "$" not in value}


def _mount(run: Run, flags: list[str], missing: list[str]) -> None:
    for mount in run.mounts:
        if mount.kind == "tmpfs":
            flags += ["--tmpfs", mount.target]
        else:
            missing.append(f"{mount.kind} at {mount.target or mount.identity}")
