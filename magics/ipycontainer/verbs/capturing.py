"""`capture`: the Python environment that this runs in, as an image."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..listing import Lines, Table
from ..session import Session
from ..transfers import capture as capture_environment
from ..units import counted, decimal_size
from .base import completed, flag, image_names, main, pass_session

_COLUMNS = {"LAYER": "Name", "STATE": "State", "FILES": "Files", "SIZE": "Size", "HOLDS": "Title"}
_WIDTH = 60
_MOST_LEFT = 10


def _installed(_session: Session) -> list[str]:
    from importlib.metadata import distributions

    return sorted({name for one in distributions() if (name := one.metadata["Name"])})


@main.command()
@flag("-q", "--quiet", help="Show only the image's id.")
@click.option(
    "--code",
    multiple=True,
    metavar="PATH[:TARGET]",
    help="Take this folder or file of yours along, without what its .dockerignore leaves out and"
    " without secrets. It has the same path in the image unless TARGET is given.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="DIST",
    help="Take this distribution and what it needs, and no other that is not named so.",
    shell_complete=completed(_installed),
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="DIST",
    help="Leave this distribution out.",
    shell_complete=completed(_installed),
)
@flag("--user", help="Take what is installed in your own site-packages (~/.local) too.")
@click.option("--python", metavar="PATH", help="Capture the environment of this interpreter.")
@flag("--dry-run", help="Show the layers that there would be, and make nothing.")
@flag("--lock-only", help="Show the lock (pylock.toml) of what is installed, and make nothing.")
@click.argument("name", metavar="NAME[:TAG]", default="host", shell_complete=completed(image_names))
@pass_session
def capture(session: Session, /, name: str, *, quiet: bool, **flags: Any) -> object:
    """Make an image of the Python environment that this runs in.

    Layers that an earlier capture made are used again. With the variable SOURCE_DATE_EPOCH the
    same environment has the same image id on every machine.
    """
    asked = {
        "python": os.path.abspath(flags["python"] or sys.executable),
        "code": [_absolute(path) for path in flags["code"]],
        "include": flags["include"],
        "exclude": flags["exclude"],
        "user": int(flags["user"]),
        "dryrun": int(flags["dry_run"] or flags["lock_only"]),
        "epoch": os.environ.get("SOURCE_DATE_EPOCH", ""),
    }
    told = capture_environment(session, name, asked, quiet=quiet or flags["lock_only"])
    _tell_left(session, told.get("Left", ()))
    if flags["lock_only"]:
        return session.surface.show(Lines(told["Lock"].splitlines()))
    if quiet:
        return session.surface.show(Lines([told["ID"]] if "ID" in told else []))
    return session.surface.show(_table(name, told["Layers"]))


def _absolute(path: str) -> str:
    """Return PATH[:TARGET] with a path that does not depend on where this runs."""
    source, colon, target = path.rpartition(":")
    if not colon or not target.startswith("/"):
        return os.path.abspath(os.path.expanduser(path))
    return f"{os.path.abspath(os.path.expanduser(source))}:{target}"


def _tell_left(session: Session, left: Sequence[str]) -> None:
    for line in left[:_MOST_LEFT]:
        session.surface.note(f"left out: {line}")
    if len(left) > _MOST_LEFT:
        session.surface.note(f"left out: {len(left) - _MOST_LEFT} more")


def _table(name: str, layers: Sequence[dict[str, Any]]) -> Table[Any]:
    rows = [
        {**layer, "Size": decimal_size(layer["Size"]), "Title": _cut(layer["Title"])}
        for layer in layers
    ]
    return Table(layers, f"{counted(len(layers), 'layer')} of {name}", _COLUMNS, rows)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
