"""`explain` and `layers`: what happened to a container, and what an image is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..failures import Failure
from ..session import Session
from ..templates import formatted
from .base import container_argument, formats, image_argument, main, pass_session

if TYPE_CHECKING:
    from ..explain.layerlist import Layers


@main.command()
@formats
@container_argument()
@pass_session
def explain(session: Session, /, container: str, *, template: str | None) -> object:
    """Show what was done to make and start a container, by whom, and how long each step took.

    With the facts of what was made: layers, namespaces, id map, mounts, limits, capabilities,
    filter. `run --explain` has each of the launcher's operations timed.
    """
    from ..explain.watching import told

    timeline = told(session, container)
    if template is not None:
        return session.surface.show(formatted(template, timeline))
    return session.surface.show(timeline)


@main.command()
@click.option("--layer", type=click.IntRange(min=1), metavar="NUMBER", help="List its files.")
@click.option("--find", metavar="PATTERN", help="List the files that fit: *.so, /etc/*, passw.")
@click.option(
    *("-n", "--limit"),
    type=click.IntRange(1, 10_000),
    default=100,
    metavar="NUMBER",
    help="List this many files, the largest first (100).",
)
@formats
@image_argument()
@pass_session
def layers(
    session: Session,
    /,
    image: str,
    *,
    layer: int | None,
    find: str | None,
    limit: int,
    template: str | None,
) -> object:
    """Show what each layer of an image adds, changes and removes, and which bytes are wasted.

    A file that a later layer replaces or removes is still stored and pulled. --find looks in all
    layers, at hidden files too.
    """
    found = _layers(session, image, {"layer": layer, "find": find, "limit": limit})
    if template is not None:
        return session.surface.show(formatted(template, found))
    return session.surface.show(found)


def _layers(session: Session, image: str, asked: dict[str, int | str | None]) -> Layers:
    from ..explain.layerlist import UNSEEN, Layers, elsewhere

    api = session.api
    with session.naming(image):
        if "layers" in session.extensions():
            params = {name: value for name, value in asked.items() if value is not None}
            response = api._get(
                api._url("/ipycontainer/images/{0}/layers", image), params=params, timeout=None
            )
            return Layers(image, api._result(response, json=True))
        history = api.history(image)
    if asked["layer"] or asked["find"]:
        raise Failure(f"files cannot be listed. {UNSEEN}")
    return Layers(image, elsewhere(history))
