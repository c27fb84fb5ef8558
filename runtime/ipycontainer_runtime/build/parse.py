"""A Dockerfile's text as instructions in stages."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from ipycontainer_runtime.build.forms import instruction
from ipycontainer_runtime.build.instructions import Arg, From, Instruction
from ipycontainer_runtime.build.source import DockerfileError, Finding, Span
from ipycontainer_runtime.build.statements import Reader
from ipycontainer_runtime.errors import InvalidParameter

MAX_SIZE = 16 << 20
"""Bytes of a Dockerfile, heredocs and all."""
MAX_INSTRUCTIONS = 10_000


class Stage(msgspec.Struct, frozen=True):
    """A FROM and what follows it. `number` counts from 0; a stage is found by it or by `name`."""

    number: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """The name after AS in lower case, or ""."""
        return self.base.stage


class Dockerfile(msgspec.Struct, frozen=True):
    """What a Dockerfile says: global ARGs (before the first FROM), then its stages in order."""

    text: str
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    directives: dict[str, str]
    """Parser directives by name in lower case: syntax, escape, check."""
    warnings: tuple[Finding, ...]
    """What the reader itself noticed: empty lines in continued instructions."""


def parse(text: str | bytes) -> Dockerfile:
    """Read a Dockerfile; DockerfileError has the lines of what is wrong.

    Bytes are UTF-8; what is none becomes U+FFFD, as in an image's config.
    """
    if len(text) > MAX_SIZE:
        raise InvalidParameter(
            f"the Dockerfile has {len(text)} bytes, more than {MAX_SIZE}: COPY what is large"
        )
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not text.strip():
        raise InvalidParameter("the Dockerfile cannot be empty: it begins with FROM image")
    reader = Reader(text)
    arguments, stages = _stages(_instructions(reader))
    if not stages:
        wanted = (
            "dockerfile contains no stages to build" if arguments else "file with no instructions"
        )
        raise InvalidParameter(f"{wanted}: write FROM image")
    return Dockerfile(text, arguments, stages, reader.directives, tuple(reader.findings))


def _instructions(reader: Reader) -> list[Instruction]:
    found: list[Instruction] = []
    for statement in reader.statements():
        if len(found) == MAX_INSTRUCTIONS:
            raise statement.wrong(f"more than {MAX_INSTRUCTIONS} instructions")
        found.append(instruction(statement))
    return found


def _stages(instructions: list[Instruction]) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for found in instructions:
        if isinstance(found, From):
            stages.append((found, []))
        elif stages:
            stages[-1][1].append(found)
        elif isinstance(found, Arg):
            arguments.append(found)
        else:
            raise DockerfileError(
                f"no build stage in current context: {found.keyword} before the first FROM",
                found.span,
            )
    numbered = enumerate(stages)
    return tuple(arguments), tuple(
        Stage(number, base, tuple(inside)) for number, (base, inside) in numbered
    )


def parse_changes(lines: Sequence[str]) -> list[Instruction]:
    """Read instructions that stand alone, as `commit --change` takes them; DockerfileError."""
    return _instructions(Reader("\n".join(lines)))


def parse_trigger(trigger: str, span: Span) -> Instruction:
    """Read an ONBUILD trigger of a base image; `span` is that of the FROM that takes it."""
    found = [replace(statement, span=span) for statement in Reader(trigger).statements()]
    if len(found) != 1:
        raise DockerfileError("onbuild trigger should be a single expression", span)
    if found[0].keyword in ("FROM", "MAINTAINER", "ONBUILD"):
        raise found[0].wrong(f"{found[0].keyword} isn't allowed as an ONBUILD trigger")
    return instruction(found[0])
