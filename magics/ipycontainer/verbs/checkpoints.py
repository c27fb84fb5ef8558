"""`checkpoint` and `restore`: a container's files, kept and given back."""

from __future__ import annotations

from typing import Any

import click

from .. import checkpoints
from ..listing import Table
from ..session import Session
from ..units import ago, counted, decimal_size, parse_time
from .base import container_argument, flag, formats, main, pass_session
from .looking import listed

_COLUMNS = {
    "CHECKPOINT": "Name",
    "CREATED": "RunningFor",
    "ADDED": "Added",
    "CHANGED": "Changed",
    "DELETED": "Deleted",
    "SIZE": "Size",
}


class _Group(click.Group):
    """Takes `checkpoint CONTAINER` for `checkpoint create CONTAINER`, which it mostly is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the first word names."""
        if args and self.get_command(ctx, args[0]) is None:
            args = ["create", *args]
        return super().resolve_command(ctx, args)


@main.group(cls=_Group)
def checkpoint() -> None:
    """Keep containers' files as they are: checkpoint CONTAINER [NAME], ls, show and rm."""


@checkpoint.command()
@click.option("-p", "--pause/--no-pause", default=True, help="Pause the container meanwhile.")
@container_argument()
@click.argument("name", metavar="[CHECKPOINT]", required=False)
@pass_session
def create(session: Session, container: str, name: str | None, *, pause: bool) -> None:
    """Keep a container's files; what did not change since the last checkpoint is not copied."""
    made = checkpoints.create(session.api, container, name or "", pause=pause)
    _show(session, made)


@checkpoint.command()
@flag("-q", "--quiet", help="Show only names.")
@formats
@container_argument()
@pass_session
def ls(session: Session, container: str, *, quiet: bool, template: str | None) -> object:
    """List a container's checkpoints; a `*` is what it stands on."""
    found = checkpoints.listed(session.api, container)
    rows = [_row(entry) for entry in found]
    if quiet and template is None:
        template = "{{.Name}}"
    table = Table(list(found), counted(len(found), "checkpoint"), _COLUMNS, rows)
    return listed(session, table, rows, template, quiet=False)


def _row(entry: checkpoints.Checkpoint) -> dict[str, Any]:
    star = " *" if entry["Current"] else ""
    return {
        **entry,
        "Name": entry["Name"] + star,
        "RunningFor": ago(parse_time(entry["Created"])),
        "Size": decimal_size(entry["Size"]),
    }


@checkpoint.command()
@container_argument()
@click.argument("name", metavar="CHECKPOINT")
@pass_session
def show(session: Session, container: str, name: str) -> None:
    """Show what a checkpoint has other than the one before."""
    _show(session, checkpoints.get(session.api, container, name))


@checkpoint.command()
@container_argument()
@click.argument("names", metavar="CHECKPOINT...", nargs=-1, required=True)
@pass_session
def rm(session: Session, container: str, names: tuple[str, ...]) -> None:
    """Remove checkpoints."""
    session.each(names, lambda name: checkpoints.remove(session.api, container, name))


@main.command()
@container_argument()
@click.argument("name", metavar="CHECKPOINT")
@pass_session
def restore(session: Session, container: str, name: str) -> None:
    """Give a container the files of a checkpoint; if it runs it is killed, and started with them.

    What it has written since is gone, unless a later checkpoint has it.
    """
    checkpoints.restore(session.api, container, name)
    session.surface.say(container)


def _show(session: Session, entry: checkpoints.Checkpoint) -> None:
    session.surface.say(f"{entry['Name']}: {checkpoints.summary(entry)}")
    for line in checkpoints.details(entry):
        session.surface.say(line)
