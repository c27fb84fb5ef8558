"""What is done to containers that are there: stop, kill, pause, remove, commit and their kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..failures import Interrupted
from ..session import Session
from .base import container_argument, flag, main, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker.models.images import Image


@main.command()
@container_argument(many=True)
@pass_session
def wait(session: Session, containers: tuple[str, ...]) -> None:
    """Wait until containers end, and print their exit codes."""
    for container in containers:
        try:
            code = session.api.wait(container)["StatusCode"]
        except KeyboardInterrupt:
            raise Interrupted(f"no longer waiting for container {container}; it goes on") from None
        session.surface.say(str(code))


def _stopping(function: Callable[..., None]) -> Callable[..., None]:
    """Declare what `stop` and `restart` take."""
    grace = click.option(
        *("-t", "--time", "--timeout", "grace"),
        type=int,
        metavar="SECONDS",
        help="Kill it this long after.",
    )
    signal = click.option("-s", "--signal", metavar="SIGNAL", help="Send this signal first.")
    return signal(grace(container_argument(many=True)(pass_session(function))))


@main.command()
@_stopping
def stop(
    session: Session, containers: tuple[str, ...], signal: str | None, grace: int | None
) -> None:
    """Ask containers to end, and kill those that do not."""
    session.each(containers, lambda name: _end(session, name, "stop", signal, grace))


@main.command()
@_stopping
def restart(
    session: Session, containers: tuple[str, ...], signal: str | None, grace: int | None
) -> None:
    """Stop containers that run, and start them."""
    session.each(containers, lambda name: _end(session, name, "restart", signal, grace))


def _end(session: Session, name: str, how: str, signal: str | None, grace: int | None) -> None:
    given = {"signal": signal, "t": grace}
    params = {key: value for key, value in given.items() if value is not None}
    # docker-py's own calls cannot send a signal of one's choice.
    api = session.api
    api._raise_for_status(api._post(api._url("/containers/{0}/" + how, name), params=params))


@main.command()
@container_argument()
@click.argument("name")
@pass_session
def rename(session: Session, container: str, name: str) -> None:
    """Give a container another name."""
    session.api.rename(container, name)


@main.command()
@click.option("-s", "--signal", default="KILL", metavar="SIGNAL", help="Send this one, not KILL.")
@container_argument(many=True)
@pass_session
def kill(session: Session, containers: tuple[str, ...], signal: str) -> None:
    """Send containers a signal."""
    session.each(containers, lambda name: session.api.kill(name, signal))


@main.command()
@container_argument(many=True)
@pass_session
def pause(session: Session, containers: tuple[str, ...]) -> None:
    """Hold all processes of containers still."""
    session.each(containers, session.api.pause)


@main.command()
@container_argument(many=True)
@pass_session
def unpause(session: Session, containers: tuple[str, ...]) -> None:
    """Let the processes of paused containers go on."""
    session.each(containers, session.api.unpause)


@main.command()
@flag("-f", "--force", help="Kill those that run.")
@flag("-v", "--volumes", help="Remove their anonymous volumes too.")
@container_argument(many=True)
@pass_session
def rm(session: Session, containers: tuple[str, ...], *, force: bool, volumes: bool) -> None:
    """Remove containers."""
    session.each(
        containers, lambda name: session.api.remove_container(name, v=volumes, force=force)
    )


@main.command()
@click.option("-m", "--message", metavar="TEXT", help="Say what changed.")
@click.option("-a", "--author", metavar="TEXT", help="Say who changed it.")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="LINE", help='Such as CMD ["sh"].'
)
@click.option("-p", "--pause/--no-pause", default=True, help="Pause the container meanwhile.")
@container_argument()
@click.argument("repository", metavar="[REPOSITORY[:TAG]]", required=False)
@pass_session
def commit(
    session: Session,
    container: str,
    repository: str | None,
    *,
    message: str | None,
    author: str | None,
    changes: tuple[str, ...],
    pause: bool,
) -> Image:
    """Make an image of a container's files as they are now, and return it."""
    from docker.utils import parse_repository_tag

    name, tag = parse_repository_tag(repository) if repository else (None, None)
    wanted = {"message": message, "author": author, "pause": pause, "changes": list(changes)}
    with session.naming(repository or ""):
        made = session.api.commit(container, name, tag, **wanted)
    session.surface.say(made["Id"])
    return session.client.images.get(made["Id"])
