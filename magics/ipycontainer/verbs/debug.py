"""`debug`: a shell in the state before the step of a build that failed."""

from __future__ import annotations

import shlex
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..building.failed import Stopped, names_of, recalled
from ..failures import Failure, one_line
from ..session import Session
from ..surface import Kind
from .base import main, pass_session, variables
from .run import run

_SHELL = ("/bin/sh", "-c")
_SHORT = 12


def _failed_names(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    session = context.find_object(Session)
    names = names_of(session) if session else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@main.command()
@click.option("-c", "--command", metavar="COMMAND", help="Run this there instead of a shell.")
@variables
@click.argument("name", required=False, shell_complete=_failed_names)
@pass_session
@click.pass_context
def debug(
    context: click.Context,
    session: Session,
    /,
    name: str | None,
    *,
    command: str | None,
    out_name: str | None,
    err_name: str | None,
) -> None:
    """Open a shell in the state before the step that failed, of the last build or of NAME's.

    It has the step's environment, folder and user. A cell's body is run there instead, as -c is.
    What is changed there is gone afterwards.
    """
    stopped = recalled(session, name)
    if stopped is None:
        raise Failure(_nothing(session, name))
    arguments = _arguments(session, stopped, command)
    surface = session.surface
    surface.note(f"before the step: {one_line(stopped.step)}")
    for missing in stopped.missing:
        surface.note(f"its mount is not there: {missing}")
    surface.note(f"by hand: {session.program} run {shlex.join(arguments)}")
    for option, filled in (("--out", out_name), ("--err", err_name)):
        if filled:
            arguments = [option, filled, *arguments]
    with run.make_context("run", arguments, parent=context) as made:
        run.invoke(made)


def _nothing(session: Session, name: str | None) -> str:
    known = ", ".join(names_of(session))
    rest = f"; there is one of {known}" if known else ""
    if name is None:
        return f"no build has failed here in a step that has a state before it{rest}"
    return f"no build of {name} has failed here in a step that has a state before it{rest}"


def _arguments(session: Session, stopped: Stopped, command: str | None) -> list[str]:
    """Return the arguments of the `run` that enters the state."""
    shell = _shell(session, stopped)
    given = command is not None or session.surface.input is not Kind.PERSON
    flags = _streams(session, command)
    image = stopped.image.removeprefix("sha256:")[:_SHORT]
    arguments = ["--rm", *flags, *stopped.flags, "--entrypoint", shell[0], image]
    return [*arguments, *shell[1:], command] if given and command is not None else arguments


def _streams(session: Session, command: str | None) -> list[str]:
    import sys

    if command is not None:
        return []
    typed = session.surface.input is Kind.GIVEN
    if typed and (session.program.startswith("%") or not sys.stdin.isatty()):
        return ["-i"]
    return ["-it"]


def _shell(session: Session, stopped: Stopped) -> Any:
    from docker.errors import ImageNotFound

    try:
        config = session.api.inspect_image(stopped.image)["Config"] or {}
    except ImageNotFound as error:
        raise Failure(
            f"the state before {one_line(stopped.step)!r} was removed since ({stopped.image}):"
            " build again"
        ) from error
    return tuple(config.get("Shell") or _SHELL)
