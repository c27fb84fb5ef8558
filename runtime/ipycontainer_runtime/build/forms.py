"""The form of each instruction: a statement's words as an instruction.

What is refused, and its words, is as with BuildKit.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ipycontainer_runtime.build import instructions as known
from ipycontainer_runtime.build import mounts
from ipycontainer_runtime.build.amounts import duration
from ipycontainer_runtime.build.flags import Flags
from ipycontainer_runtime.build.instructions import Argument, Command, Document, Instruction, Pair
from ipycontainer_runtime.build.jsonform import json_words
from ipycontainer_runtime.build.rawwords import raw_words
from ipycontainer_runtime.build.source import DockerfileError, quoted
from ipycontainer_runtime.build.statements import Statement, heredoc, split
from ipycontainer_runtime.build.suggest import closest

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_STAGE = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD = re.compile(r"[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", re.IGNORECASE)
_SHORTEST = 10**6
"""Nanoseconds of a health check's time, if it is not 0."""
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")
_MOST_RETRIES = 2**31 - 1


class FormError(ValueError):
    """An instruction whose words are not of its form; the message says what is."""


def instruction(statement: Statement) -> Instruction:
    """Return the statement as an instruction; DockerfileError with its lines otherwise."""
    form = _FORMS.get(statement.keyword)
    if form is None:
        shown = statement.word[:80]
        raise DockerfileError(
            f"unknown instruction: {shown}{closest(shown, _FORMS)}", statement.span
        )
    try:
        return form(statement)
    except ValueError as error:
        raise statement.wrong(error) from error


def _common(statement: Statement) -> dict[str, Any]:
    return {
        "span": statement.span,
        "source": statement.source,
        "escape": statement.escape,
        "comments": statement.comments,
    }


def _without_flags(statement: Statement) -> dict[str, Any]:
    Flags(statement.flags, {})
    return _common(statement)


def _words(text: str) -> tuple[str, ...]:
    return tuple(_BLANKS.split(text)) if text else ()


def _some(statement: Statement) -> str:
    if not statement.rest:
        raise FormError(f"{statement.keyword} requires at least one argument")
    return statement.rest


def _one(statement: Statement) -> str:
    if not statement.rest:
        raise FormError(f"{statement.keyword} requires exactly one argument")
    return statement.rest


def _from(statement: Statement) -> Instruction:
    words = _words(statement.rest)
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE.fullmatch(name):
            raise FormError(
                f"invalid name for build stage: {quoted(words[2])}, "
                "name can't start with a number or contain symbols"
            )
    elif len(words) != 1:
        raise FormError("FROM requires either one or three arguments: FROM image [AS name]")
    flags = Flags(statement.flags, {"platform": "string"})
    return known.From(
        **_common(statement), image=words[0], stage=name, platform=flags.text("platform")
    )


def _arg(statement: Statement) -> Instruction:
    words = raw_words(_some(statement), statement.escape)
    arguments = []
    for word in words:
        name, equals, default = word.partition("=")
        if not name:
            raise FormError("ARG names can not be blank")
        arguments.append(Argument(name, default if equals else None))
    return known.Arg(**_without_flags(statement), arguments=tuple(arguments))


def _pairs(statement: Statement) -> tuple[Pair, ...]:
    words = raw_words(_some(statement), statement.escape)
    if "=" not in words[0]:
        parts = _BLANKS.split(statement.rest, maxsplit=1)
        if len(parts) < 2:
            raise FormError(f"{statement.keyword} must have two arguments: NAME=value")
        return (Pair(parts[0], parts[1], legacy=True),)
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise FormError(
                f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value"
            )
        if not name:
            raise FormError(f"{statement.keyword} names can not be blank")
        pairs.append(Pair(name, value))
    return tuple(pairs)


def _env(statement: Statement) -> Instruction:
    return known.Env(**_without_flags(statement), pairs=_pairs(statement))


def _label(statement: Statement) -> Instruction:
    return known.Label(**_without_flags(statement), pairs=_pairs(statement))


def _maintainer(statement: Statement) -> Instruction:
    return known.Maintainer(**_without_flags(statement), author=_one(statement))


def _paths(statement: Statement) -> dict[str, Any]:
    """Return what COPY and ADD share."""
    listed = json_words(statement.rest)
    words = _words(statement.rest) if listed is None else listed
    if len(words) < 2:
        raise FormError(
            f"{statement.keyword} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    *sources, destination = words
    if heredoc(destination):
        raise FormError(f"{statement.keyword} cannot accept a heredoc as a destination")
    documents = [] if listed is not None else sources
    announced = {source: found for source in documents if (found := heredoc(source))}
    contents = {found.name: found.text for found in statement.heredocs}
    return {
        **_common(statement),
        "sources": tuple(source for source in sources if source not in announced),
        "documents": tuple(
            Document(found.name, contents.get(found.name, ""), found.expand)
            for found in announced.values()
        ),
        "destination": destination,
    }


_TRANSFER = {"chown": "string", "chmod": "string", "link": "bool", "exclude": "strings"}


def _copy(statement: Statement) -> Instruction:
    flags = Flags(statement.flags, {**_TRANSFER, "from": "string", "parents": "bool"})
    return known.Copy(
        **_paths(statement),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.truth("link") or False,
        exclude=flags.texts("exclude"),
        origin=flags.text("from"),
        parents=flags.truth("parents") or False,
    )


def _add(statement: Statement) -> Instruction:
    more = {"keep-git-dir": "bool", "checksum": "string", "unpack": "bool"}
    flags = Flags(statement.flags, {**_TRANSFER, **more})
    return known.Add(
        **_paths(statement),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.truth("link") or False,
        exclude=flags.texts("exclude"),
        keep_git_dir=flags.truth("keep-git-dir"),
        checksum=flags.text("checksum"),
        unpack=flags.truth("unpack"),
    )


def _command(text: str) -> Command:
    words = json_words(text)
    return Command((text,) if text else (), True) if words is None else Command(words, False)


def _run(statement: Statement) -> Instruction:
    flags = Flags(statement.flags, {"mount": "strings", "network": "string", "security": "string"})
    network = _chosen("network", flags, _NETWORKS)
    security = _chosen("security", flags, _SECURITIES)
    mount_flags = flags.texts("mount")
    origins = tuple(filter(None, map(mounts.origin, mount_flags)))
    whole = not any("$" in flag for flag in mount_flags)
    return known.Run(
        **_common(statement),
        command=_command(statement.rest),
        heredocs=statement.heredocs,
        mount_flags=mount_flags,
        mounts=tuple(mounts.mount(flag, str) for flag in mount_flags) if whole else (),
        origins=origins,
        network=network,
        security=security,
    )


def _chosen(flag: str, flags: Flags, choices: tuple[str, ...]) -> str:
    """Return what was chosen, the first where the flag is not given."""
    value = flags.text(flag, choices[0])
    if value not in choices:
        raise FormError(f"{flag} {quoted(value)} is not valid: use one of {', '.join(choices)}")
    return value


def _cmd(statement: Statement) -> Instruction:
    return known.Cmd(**_without_flags(statement), command=_command(statement.rest))


def _entrypoint(statement: Statement) -> Instruction:
    return known.Entrypoint(**_without_flags(statement), command=_command(statement.rest))


def _shell(statement: Statement) -> Instruction:
    words = json_words(statement.rest)
    if words is None and statement.rest:
        raise FormError("SHELL requires the arguments to be in JSON form")
    if not words:
        raise FormError("SHELL requires at least one argument")
    return known.Shell(**_without_flags(statement), words=words)


def _healthcheck(statement: Statement) -> Instruction:
    kind, *others = _BLANKS.split(_some(statement), maxsplit=1)
    rest = others[0] if others else ""
    if kind.upper() == "NONE":
        if rest:
            raise FormError("HEALTHCHECK NONE takes no arguments")
        return known.Healthcheck(**_common(statement), test=("NONE",))
    if kind.upper() != "CMD":
        raise FormError(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    names = ("interval", "timeout", "start-period", "start-interval", "retries")
    flags = Flags(statement.flags, dict.fromkeys(names, "string"))
    command = _command(rest)
    if not command.words:
        raise FormError("Missing command after HEALTHCHECK CMD")
    return known.Healthcheck(
        **_common(statement),
        test=("CMD-SHELL" if command.shell else "CMD", *command.words),
        interval=_interval("interval", flags),
        timeout=_interval("timeout", flags),
        start_period=_interval("start-period", flags),
        start_interval=_interval("start-interval", flags),
        retries=_retries(flags.text("retries")),
    )


def _interval(flag: str, flags: Flags) -> int:
    nanoseconds = duration(flags.text(flag)) if flags.text(flag) else 0
    if nanoseconds and nanoseconds < _SHORTEST:
        raise FormError(f'Interval "{flag}" cannot be less than 1ms')
    return nanoseconds


def _retries(text: str) -> int:
    if not text:
        return 0
    match = re.fullmatch(r"[+-]?\d{1,10}", text, re.ASCII)
    if match is None or abs(int(text)) > _MOST_RETRIES:
        raise FormError(f"--retries is no number: {text[:80]}")
    if int(text) < 0:
        raise FormError(f"--retries cannot be negative ({text})")
    return int(text)


def _expose(statement: Statement) -> Instruction:
    return known.Expose(**_without_flags(statement), ports=tuple(sorted(_words(_some(statement)))))


def _user(statement: Statement) -> Instruction:
    return known.User(**_without_flags(statement), user=_one(statement))


def _workdir(statement: Statement) -> Instruction:
    return known.Workdir(**_without_flags(statement), path=_one(statement))


def _volume(statement: Statement) -> Instruction:
    words = json_words(_some(statement))
    if words is None:
        words = _words(statement.rest)
    if not words:
        raise FormError("VOLUME requires at least one argument")
    paths = tuple(word.strip() for word in words)
    if not all(paths):
        raise FormError("VOLUME specified can not be an empty string")
    return known.Volume(**_without_flags(statement), paths=paths)


def _stop_signal(statement: Statement) -> Instruction:
    return known.StopSignal(**_without_flags(statement), signal=_one(statement))


def _on_build(statement: Statement) -> Instruction:
    word = split(_some(statement), statement.escape)[0].upper()
    if word == "ONBUILD":
        raise FormError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if word in ("MAINTAINER", "FROM"):
        raise FormError(f"{word} isn't allowed as an ONBUILD trigger")
    trigger = _ONBUILD.sub("", statement.line, count=1)
    bodies = "".join(f"\n{found.content}{found.name}" for found in statement.heredocs)
    return known.OnBuild(**_without_flags(statement), trigger=trigger + bodies)


_FORMS: Mapping[str, Callable[[Statement], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
