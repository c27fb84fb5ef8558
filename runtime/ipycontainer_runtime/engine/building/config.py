"""What the instructions that run nothing make of an image's config, and their words in its history.

The words are those of Docker's classic builder (moby, builder/dockerfile/dispatchers.go): tools
read them back.
"""

import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ipycontainer_runtime.build.instructions import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from ipycontainer_runtime.engine.signals import signal_number
from ipycontainer_runtime.engine.spec import DEFAULT_PATH
from ipycontainer_runtime.oci import model

DEFAULT_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True)
class Described:
    """An image's config as far as it is known, with what a later instruction asks of it."""

    config: model.ContainerConfig = field(default_factory=model.ContainerConfig)
    author: str = ""
    command_set: bool = False
    """Whether CMD was given in this stage: ENTRYPOINT takes the base image's away."""

    @property
    def shell(self) -> tuple[str, ...]:
        """The words before a command in shell form."""
        return tuple(self.config.shell or DEFAULT_SHELL)

    @property
    def folder(self) -> str:
        """The working directory."""
        return self.config.working_dir or "/"

    def changed(self, **fields: object) -> "Described":
        """Return it with other fields of the config."""
        config = msgspec.structs.replace(self.config, **fields)
        return Described(config, self.author, self.command_set)


def with_path(before: Described) -> Described:
    """Return a base's config with the PATH that every image has, unless it has one."""
    env = before.config.env or []
    if any(variable.startswith("PATH=") for variable in env):
        return before
    return before.changed(env=[*env, DEFAULT_PATH])


def words(command: Command, shell: Sequence[str]) -> list[str]:
    """Return what is executed."""
    return [*shell, *command.words] if command.shell else list(command.words)


def apply(before: Described, instruction: Instruction) -> tuple[Described, str]:
    """Return the config after an instruction, and the instruction's words for the history."""
    if isinstance(instruction, Env):
        pairs = [(pair.name, pair.value) for pair in instruction.pairs]
        told = "".join(f" {name}={value}" for name, value in pairs)
        return before.changed(env=with_variables(before.config.env, pairs)), f"ENV{told}"
    if isinstance(instruction, Label):
        labels = {pair.name: pair.value for pair in instruction.pairs}
        told = "".join(f" {name}={value}" for name, value in labels.items())
        return before.changed(labels={**(before.config.labels or {}), **labels}), f"LABEL{told}"
    if isinstance(instruction, Arg):
        given = (
            f"{a.name}={a.default}" if a.default is not None else a.name
            for a in instruction.arguments
        )
        return before, "ARG " + " ".join(given)
    if isinstance(instruction, Cmd | Entrypoint | Shell):
        return _commands(before, instruction)
    return _others(before, instruction)


def _commands(before: Described, instruction: Cmd | Entrypoint | Shell) -> tuple[Described, str]:
    if isinstance(instruction, Shell):
        told = f"SHELL [{' '.join(instruction.words)}]"
        return before.changed(shell=list(instruction.words)), told
    run = words(instruction.command, before.shell)
    if isinstance(instruction, Cmd):
        after = before.changed(cmd=run or None)
        return Described(after.config, after.author, True), f"CMD {_quoted(run)}"
    after = before.changed(entrypoint=run or None)
    if not before.command_set:
        after = after.changed(cmd=None)
    return after, f"ENTRYPOINT {_quoted(run)}"


def _others(before: Described, instruction: Instruction) -> tuple[Described, str]:
    config = before.config
    if isinstance(instruction, Expose):
        ports = {port: dict[str, object]() for port in instruction.ports}
        after = before.changed(exposed_ports={**(config.exposed_ports or {}), **ports})
        return after, "EXPOSE " + " ".join(sorted(instruction.written))
    if isinstance(instruction, Healthcheck):
        check = _healthcheck(instruction)
        return before.changed(healthcheck=check), f"HEALTHCHECK {_told_check(check)}"
    if isinstance(instruction, Maintainer):
        after = Described(config, instruction.author, before.command_set)
        return after, f"MAINTAINER {instruction.author}"
    if isinstance(instruction, OnBuild):
        triggers = [*(config.on_build or ()), instruction.trigger]
        return before.changed(on_build=triggers), f"ONBUILD {instruction.trigger}"
    if isinstance(instruction, StopSignal):
        signal_number(instruction.signal, 15)
        after = before.changed(stop_signal=instruction.signal)
        return after, f"STOPSIGNAL {instruction.signal}"
    if isinstance(instruction, User):
        return before.changed(user=instruction.user), f"USER {instruction.user}"
    if isinstance(instruction, Volume):
        volumes = {path: dict[str, object]() for path in instruction.paths}
        after = before.changed(volumes={**(config.volumes or {}), **volumes})
        return after, f"VOLUME [{' '.join(instruction.paths)}]"
    assert isinstance(instruction, Workdir), f"{instruction.keyword} changes no config"
    folder = instruction.path
    if not folder.startswith("/"):
        folder = "/" + posixpath.normpath(posixpath.join("/", before.folder, folder)).lstrip("/")
    return before.changed(working_dir=folder), f"WORKDIR {folder}"


def with_variables(env: Sequence[str] | None, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return an environment with variables set, each where it was or at the end."""
    values = dict(entry.partition("=")[::2] for entry in env or ())
    values.update(pairs)
    return [f"{name}={value}" for name, value in values.items()]


def _healthcheck(instruction: Healthcheck) -> model.Healthcheck:
    return model.Healthcheck(
        test=list(instruction.test),
        interval=instruction.interval,
        timeout=instruction.timeout,
        start_period=instruction.start_period,
        start_interval=instruction.start_interval,
        retries=instruction.retries,
    )


def _told_check(check: model.Healthcheck) -> str:
    times = (check.interval, check.timeout, check.start_period)
    told = " ".join(f'"{_duration(time)}"' for time in times)
    return f"&{{{_quoted(check.test or ())} {told} {_rune(check.retries)}}}"


_NAMED = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
_NAMED |= {ord("'"): "\\'", ord("\\"): "\\\\"}


def _rune(number: int) -> str:
    """Return a number as Go's %q writes it: as the character of that code, in quotes."""
    if not 0 <= number <= 0x10FFFF:
        number = 0xFFFD
    if number in _NAMED:
        return f"'{_NAMED[number]}'"
    if chr(number).isprintable():
        return f"'{chr(number)}'"
    if number < 0x80:
        return f"'\\x{number:02x}'"
    return f"'\\u{number:04x}'" if number <= 0xFFFF else f"'\\U{number:08x}'"


def _duration(nanoseconds: int) -> str:
    """Return a time as Go writes it."""
    if not nanoseconds:
        return "0s"
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    if not seconds:
        return f"{fraction // 1_000_000}ms"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    tail = f"{fraction:09d}".rstrip("0")
    return f"{text}{seconds}{'.' + tail if tail else ''}s"


def _quoted(items: Sequence[str]) -> str:
    """Return words as Go's %q writes a list of them."""
    return f"[{' '.join(json.dumps(item, ensure_ascii=False) for item in items)}]"


def no_file_changed(shell: Sequence[str], told: str) -> str:
    """Return an instruction that ran nothing in the words of the history.

    `shell` is that after the instruction. Before WORKDIR the classic builder has one blank only.
    """
    blank = "" if told.startswith("WORKDIR ") else " "
    return " ".join((*shell, "#(nop)", blank + told))
