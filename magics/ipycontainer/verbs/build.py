"""`build`: an image from a Dockerfile, which may be a cell's body."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..failures import Usage
from ..session import Session
from .base import flag, main, pass_session
from .buildsettings import OPTIONS, BuildArgument, arguments_of, query
from .options import declared

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..building.context import Sent
    from ..building.run import View
    from .options import Flags


def _stages(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the stages of the cell's body, or of the Dockerfile that the line names."""
    from ..building.dockerfile import Source

    session = context.find_object(Session)
    text = session.surface.code() if session and session.program.startswith("%") else ""
    if not text.strip():
        folder = Path(context.params.get("path") or ".")
        file = Path(context.params.get("file") or folder / "Dockerfile")
        with suppress(OSError):
            text = file.read_text(encoding="utf-8", errors="replace")
    names = Source(text.removeprefix("\n"), "").stages()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _paths(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the folders and files that begin so; a shell looks for them itself."""
    session = context.find_object(Session)
    if session is None or not session.program.startswith("%"):
        return [CompletionItem(incomplete, type="file")]
    head, slash, start = incomplete.rpartition("/")
    with suppress(OSError):
        entries = sorted(Path(head + slash or ".").iterdir())
        return [
            CompletionItem(f"{head}{slash}{entry.name}{'/' if entry.is_dir() else ''}")
            for entry in entries
            if entry.name.startswith(start) and (start or not entry.name.startswith("."))
        ]
    return []


@main.command()
@click.option("-t", "--tag", multiple=True, metavar="NAME[:TAG]", help="Name the image.")
@click.option(
    *("-f", "--file"),
    metavar="FILE",
    shell_complete=_paths,
    help="The Dockerfile (PATH/Dockerfile); `-` is standard input.",
)
@click.option(
    "--build-arg",
    multiple=True,
    type=BuildArgument(),
    metavar="NAME[=VALUE]",
    help="Set a build argument. NAME alone is a notebook's variable, or one of the environment;"
    " in a notebook NAME={VARIABLE} is a variable too.",
)
@click.option("--target", metavar="STAGE", help="Build this stage.", shell_complete=_stages)
@declared(OPTIONS)
@click.option("--iidfile", metavar="FILE", help="Write the image's id to this file.")
@flag("-q", "--quiet", help="Show no progress, and say the image's id.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "quiet"]),
    default="auto",
    help="How to show progress; plain: every line of output as it comes.",
)
@click.argument("path", metavar="[PATH|URL|-]", required=False, shell_complete=_paths)
@pass_session
def build(session: Session, /, path: str | None, **flags: Any) -> None:
    """Build an image from a Dockerfile.

    PATH is the folder that COPY takes files from, less what its .dockerignore names. The Dockerfile
    is the cell's body under %%container, where PATH may be left out: without COPY nothing is sent,
    with it the notebook's folder. On the command line `-` is a Dockerfile or a tar archive from
    standard input. A failed step says its lines; `debug` opens a shell in the state before it.
    """
    from ..building.origin import Asked, find
    from ..building.run import EXTENSION, Request, run
    from ..building.secrets import headers
    from ..building.steps import Build

    if flags["output"]:
        raise Usage("--output: the image goes to the engine; `save` and `cp` bring it elsewhere")
    arguments = arguments_of(session, flags["build_arg"])
    watched: list[View] = []
    origin = find(session.surface, Asked(path, flags["file"], _sending(watched)))
    extensions = session.extensions()
    request = Request(
        origin,
        query(flags, arguments),
        headers(session, flags["secret"], flags["ssh"], extensions),
        tells_steps=EXTENSION in extensions,
    )
    named = ", ".join(flags["tag"]) or "an image"
    made = Build(f"Building {named}")
    style = "quiet" if flags["quiet"] else flags["progress"]
    view = session.surface.building(made, origin.source, style)
    watched.append(view)
    if origin.note and style != "quiet":
        session.surface.note(origin.note)
    image = run(session, request, made, view)
    if origin.sent is not None and (hint := origin.sent.hint()):
        session.surface.note(hint)
    _tell(session, flags, image)


def _sending(watched: list[View]) -> Callable[[Sent], None]:
    """Return what shows the context going out: it begins before anything else can be shown."""

    def told(sent: Sent) -> None:
        for view in watched:
            view.sending(sent.told())

    return told


def _tell(session: Session, flags: Flags, image: str) -> None:
    if flags["iidfile"]:
        Path(flags["iidfile"]).write_text(image, encoding="ascii")
    if flags["quiet"] or flags["progress"] == "quiet":
        session.surface.say(image)
