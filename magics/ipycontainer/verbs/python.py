"""`python`: a cell's code in a container's warm interpreter."""

from __future__ import annotations

from typing import Any

import click

from ..failures import Interrupted, Usage
from ..session import Session
from .base import flag, image_argument, main, pass_session

_SETTINGS = ("memory", "cpus", "pids", "network", "cwd", "user", "trusted")


@main.command()
@click.option("-i", "--inputs", metavar="NAMES", help="Send these variables: x,df.")
@click.option("-o", "--outputs", metavar="NAMES", help="Bring these variables back: result.")
@click.option("--name", metavar="NAME", help="Name the sandbox: there may be several of an image.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop code that runs this long.")
@click.option("-m", "--memory", metavar="SIZE", help="Limit memory (1g).")
@click.option("--cpus", type=float, metavar="NUMBER", help="Limit to this many CPUs.")
@click.option("--pids-limit", "pids", type=int, metavar="NUMBER", help="Limit processes (256).")
@click.option("--network", "--net", "network", metavar="NAME", help="A network (none).")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable.")
@click.option("-v", "--volume", multiple=True, metavar="FOLDER:TARGET", help="Mount a folder.")
@click.option("-w", "--workdir", "cwd", metavar="PATH", help="Work in this folder.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Run as this user.")
@flag("--trusted", help="Open its pickles and show its HTML: it may do what this notebook can.")
@flag("--reset", help="End its interpreter: variables are forgotten, files are kept.")
@flag("--stop", help="End the sandbox and remove it.")
@image_argument(required=False)
@pass_session
def python(session: Session, /, image: str | None, **flags: Any) -> object:
    """Run a cell's Python code in a container of IMAGE.

    The container, with its variables and files, stays for the notebook's next cells: one for each
    image, or for each --name. The value of the last expression is the cell's. Without code the
    sandbox is started and returned. It has no network unless one is named.
    """
    from ..sandbox.workspace import Workspace

    workspace = session.shared() if session.shared else Workspace({}, lambda: "<stdin>")
    if flags["reset"] or flags["stop"]:
        ended = (workspace.stop if flags["stop"] else workspace.reset)(
            session, flags["name"] or image
        )
        session.surface.note(f"{ended} {'sandbox' if ended == 1 else 'sandboxes'}")
        return None
    image = image or session.preferences.image
    if not image:
        raise Usage("python: which image? %%container python IMAGE")
    return _ran(session, workspace, image, flags)


def _ran(session: Session, workspace: Any, image: str, flags: dict[str, Any]) -> object:
    from ..sandbox.workspace import Asked
    from .settings import environment

    settings = {name: flags[name] for name in _SETTINGS if flags[name]}
    if flags["env"]:
        settings["env"] = environment(flags["env"], ())
    if flags["volume"]:
        settings["volumes"] = flags["volume"]
    asked = Asked(image, flags["name"], settings)
    code = session.surface.code()
    try:
        if not code.strip():
            return workspace.sandbox(session, asked)
        return workspace.run(
            session,
            asked,
            code,
            inputs=_names(flags["inputs"], "-i"),
            outputs=_names(flags["outputs"], "-o"),
            timeout=flags["timeout"],
        )
    except KeyboardInterrupt as stopped:
        raise Interrupted(str(stopped) or "interrupted before it was done") from None
    finally:
        if session.shared is None:
            workspace.close()


def _names(text: str | None, which: str) -> tuple[str, ...]:
    """Read names of variables with commas between them."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        if not name.isidentifier():
            raise Usage(f"{which}: {name!r} is no name for a variable; write x,df")
    return names
