"""`pull`, `push`, `tag` and `rmi`: where images come from and go to."""

from __future__ import annotations

import click

from ..failures import Usage
from ..session import Session
from ..transfers import pull as pull_image
from ..transfers import push as push_image
from .base import flag, image_argument, main, pass_session

_quiet = flag("-q", "--quiet", help="Show no progress.")


@main.command()
@_quiet
@flag("-a", "--all-tags", help="Pull every tag of the repository.")
@click.option("--platform", metavar="OS/ARCH", help="Pull for this platform: linux/arm64.")
@image_argument()
@pass_session
def pull(
    session: Session, image: str, *, quiet: bool, all_tags: bool, platform: str | None
) -> None:
    """Pull an image from a registry."""
    pull_image(session, image, platform=platform, all_tags=all_tags, quiet=quiet)
    if quiet:
        session.surface.say(image)


@main.command()
@_quiet
@flag("-a", "--all-tags", help="Push every tag of the repository.")
@image_argument()
@pass_session
def push(session: Session, image: str, *, quiet: bool, all_tags: bool) -> None:
    """Push an image to the registry in its name."""
    push_image(session, image, all_tags=all_tags, quiet=quiet)
    if quiet:
        session.surface.say(image)


@main.command()
@image_argument()
@click.argument("target", metavar="NAME[:TAG]")
@pass_session
def tag(session: Session, image: str, target: str) -> None:
    """Give an image another name."""
    from docker.utils import parse_repository_tag

    repository, name = parse_repository_tag(target)
    if name and name.startswith("sha256:"):
        raise Usage(f"{target!r} is a digest; an image is named NAME:TAG")
    if ":" in repository.rpartition("/")[2]:
        # The engine would take the last tag, and leave out the one before it.
        raise Usage(f"{target!r} is no name of an image: write one tag, NAME:TAG")
    with session.naming(image):
        source = session.api.inspect_image(image)["Id"]
    with session.naming(target):
        session.api.tag(source, repository, name)


@main.command()
@flag("-f", "--force", help="Remove it though a container was made from it.")
@flag("--no-prune", help="Keep the untagged images under it.")
@image_argument(many=True)
@pass_session
def rmi(session: Session, images: tuple[str, ...], *, force: bool, no_prune: bool) -> None:
    """Remove images' names, and the images that have no name left."""

    def remove(name: str) -> None:
        with session.naming(name):
            steps = session.api.remove_image(name, force=force, noprune=no_prune)
        for step in steps:
            for action, what in step.items():
                session.surface.say(f"{action}: {what}")

    session.each(images, remove, silent=True)
