"""`exec`: another command in a container that runs."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any

import click

from ..attached import FAREWELL, ExecControls, start_exec
from ..endings import exec_failure
from ..inputs import opened_input
from ..session import Session
from ..streams import Connection, Relay
from .base import (
    PASSTHROUGH,
    container_argument,
    flag,
    inputs,
    main,
    pass_session,
    variables,
)
from .options import Flags
from .settings import environment


@main.command("exec", context_settings=PASSTHROUGH)
@flag("-d", "--detach", help="Leave it running.")
@flag("-i", "--interactive", help="Send standard input: a cell's body, or what is piped in.")
@flag("-t", "--tty", help="Give it a terminal; with -i the cell shows one.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Set the variables in a file.")
@click.option("-w", "--workdir", metavar="PATH", help="Work in this folder.")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Run as this user.")
@flag("--privileged", help="Give it all capabilities.")
@click.option("--detach-keys", metavar="KEYS", help="Keys that leave it running.")
@inputs
@variables
@container_argument()
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
def exec_(session: Session, /, container: str, command: tuple[str, ...], **flags: Any) -> None:
    """Run COMMAND in a container that runs.

    With -i a cell's body is the standard input; without a body the cell asks when the command
    waits for input, and with -it it shows a terminal. When the command fails, so does the cell.
    """
    api = session.api
    session.surface.redirect(flags["out_name"], flags["err_name"])
    if flags["inputs"]:
        session.surface.script(flags["inputs"])
        flags["interactive"] = True
    made = api.exec_create(
        container,
        list(command),
        stdin=flags["interactive"] and not flags["detach"],
        tty=flags["tty"],
        privileged=flags["privileged"],
        user=flags["user"],
        environment=environment(flags["env"], flags["env_file"]) or None,
        workdir=flags["workdir"],
        detach_keys=flags["detach_keys"],
    )["Id"]
    if flags["detach"]:
        api.exec_start(made, detach=True)
        return
    if flags["tty"] and flags["interactive"] and session.surface.shows_terminals:
        _shown(session, _named(container), made)
        return
    if not _relayed(session, container, made, flags):
        return
    ended = api.exec_inspect(made)
    if code := ended["ExitCode"]:
        raise exec_failure(_named(container), int(code), ended.get("Fault"))


def _named(container: str) -> str:
    """Shorten a whole id; a name is kept."""
    return container[:12] if re.fullmatch("[0-9a-f]{64}", container) else container


def _shown(session: Session, container: str, exec_id: str) -> None:
    """Have a terminal in the cell, which lives on when the cell has ended."""
    from ..widgets.subjects import ExecSubject, show

    with ExitStack() as undo:
        connection = start_exec(session, exec_id, tty=True)
        undo.callback(connection.close)
        show(ExecSubject(session, exec_id, container), undo, connection, None)


def _relayed(session: Session, container: str, exec_id: str, flags: Flags) -> bool:
    """Relay the streams to their end; False when the person left it running."""
    surface, tty = session.surface, flags["tty"]
    source = None
    controls = ExecControls(session, exec_id, container)
    with ExitStack() as undo:
        if flags["interactive"]:
            source = undo.enter_context(opened_input(session, f"exec/{exec_id}", tty=tty))
        undo.enter_context(surface.guard(controls, tty=tty, proxy=False))
        connection = start_exec(session, exec_id, tty=tty)
        undo.callback(connection.close)
        relay = Relay(connection, surface, source, tty=tty)
        undo.callback(relay.close)
        undo.callback(surface.flush)
        undo.callback(lambda: _farewell(controls, connection, tty=tty))
        relay.run()
    return source is None or not source.detached


def _farewell(controls: ExecControls, connection: Connection, *, tty: bool) -> None:
    """End what nobody can answer: without a terminal it reads an end when the connection closes."""
    if controls.refused and tty:
        connection.send(memoryview(FAREWELL))
