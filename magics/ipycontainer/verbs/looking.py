"""`ps`, `images`, `inspect`, `history`, `diff` and `top`: tables of what is there."""

from __future__ import annotations

from typing import Any

import click

from .. import rows
from ..failures import Failure
from ..listing import Documents, Lines, Listing, Table
from ..session import Session
from ..templates import formatted
from ..units import counted
from .base import (
    PASSTHROUGH,
    container_argument,
    flag,
    formats,
    image_argument,
    main,
    object_argument,
    pass_session,
)
from .filters import CONTAINERS, IMAGES

_KINDS = ("container", "image", "network", "volume")


def listed(
    session: Session, table: Table[Any], found: rows.Rows, template: str | None, *, quiet: bool
) -> object:
    """Show the table, its ids with -q, or what --format makes of its rows."""
    if template is not None:
        return session.surface.show(formatted(template, found))
    if quiet:
        return session.surface.show(Lines(dict.fromkeys(str(row["ID"]) for row in found)))
    return session.surface.show(table)


@main.command()
@flag("-a", "--all", "everything", help="Show those that have ended too.")
@flag("-q", "--quiet", help="Show only ids.")
@flag("-l", "--latest", help="Show the newest one.")
@flag("-s", "--size", help="Show the size of their changes.")
@flag("--no-trunc", help="Cut nothing short.")
@click.option("-n", "--last", type=int, default=-1, metavar="NUMBER", help="Show the newest few.")
@CONTAINERS.option
@formats
@pass_session
def ps(session: Session, /, filters: tuple[str, ...], template: str | None, **flags: Any) -> object:
    """List containers."""
    with CONTAINERS.read(filters) as wanted:
        entries = session.api.containers(
            all=flags["everything"],
            limit=1 if flags["latest"] else flags["last"],
            size=flags["size"],
            filters=wanted,
        )
    models = session.client.containers
    # docker-py reads a container's name from what only `inspect` has.
    items = [models.prepare_model({**e, "Name": rows.container_name(e)}) for e in entries]
    found = [rows.container(e, whole=flags["no_trunc"]) for e in entries]
    columns = rows.CONTAINER_COLUMNS | ({"SIZE": "Size"} if flags["size"] else {})
    table = Table(items, counted(len(items), "container"), columns, found)
    return listed(session, table, found, template, quiet=flags["quiet"])


@main.command()
@flag("-a", "--all", "everything", help="Show intermediate images too.")
@flag("-q", "--quiet", help="Show only ids.")
@flag("--digests", help="Show digests.")
@flag("--no-trunc", help="Cut nothing short.")
@IMAGES.option
@formats
@click.argument("name", metavar="[NAME[:TAG]]", required=False)
@pass_session
def images(
    session: Session,
    /,
    name: str | None,
    filters: tuple[str, ...],
    template: str | None,
    **flags: Any,
) -> object:
    """List images."""
    with IMAGES.read(filters) as wanted:
        if name:
            wanted.setdefault("reference", []).append(name)
        entries = session.api.images(all=flags["everything"], filters=wanted)
    items = [session.client.images.prepare_model(entry) for entry in entries]
    found = [row for e in entries for row in rows.image(e, whole=flags["no_trunc"])]
    columns = rows.IMAGE_DIGEST_COLUMNS if flags["digests"] else rows.IMAGE_COLUMNS
    table = Table(items, counted(len(items), "image"), columns, found)
    return listed(session, table, found, template, quiet=flags["quiet"])


@main.command()
@click.option("--type", "kind", type=click.Choice(_KINDS), help="Look only there.")
@flag("-s", "--size", help="Measure a container's files too.")
@formats
@object_argument()
@pass_session
def inspect(
    session: Session,
    /,
    names: tuple[str, ...],
    *,
    kind: str | None,
    size: bool,
    template: str | None,
) -> object:
    """Show all that is known of containers, images, networks or volumes."""
    found = [_inspected(session, name, kind, size=size) for name in names]
    documents = [item.attrs for item in found]
    if template is not None and template != "json":
        return session.surface.show(formatted(template, documents))
    facts = [rows.facts(document) for document in documents]
    return session.surface.show(Documents(found, documents, facts))


def _inspected(session: Session, name: str, kind: str | None, *, size: bool) -> Any:
    """Return what has this name, looked for in Docker's order; raises `Failure` where nothing has.

    With `kind` the engine's own error is raised.
    """
    from docker.errors import APIError

    for one in (kind,) if kind else _KINDS:
        # No container has a `/` within its name, and none could be asked for by such a path.
        if one != "image" and "/" in name[1:] and not kind:
            continue
        try:
            return _looked_up(session, name, one, size=size)
        except APIError as error:
            # 400 is an engine's answer to what can be the name of nothing of this kind, 501 to a
            # kind that it does not have.
            if kind or error.status_code not in {400, 404, 501}:
                raise
    program = session.program
    raise Failure(
        f"no container, image, network or volume is named {name!r}; `{program} ps -a`,"
        f" `{program} images`, `{program} network ls` and `{program} volume ls` list them"
    )


def _looked_up(session: Session, name: str, kind: str, *, size: bool) -> Any:
    api, client = session.api, session.client
    if kind == "container" and size:
        url = api._url("/containers/{0}/json", name)
        document = api._result(api._get(url, params={"size": 1}), json=True)
        return client.containers.prepare_model(document)
    return getattr(client, f"{kind}s").get(name)


@main.command()
@flag("-q", "--quiet", help="Show only ids.")
@flag("--no-trunc", help="Cut nothing short.")
@formats
@image_argument()
@pass_session
def history(
    session: Session, /, image: str, *, quiet: bool, no_trunc: bool, template: str | None
) -> object:
    """Show the steps that made an image, the last first."""
    with session.naming(image):
        steps = session.api.history(image)
    found = [rows.step(entry, whole=no_trunc) for entry in steps]
    table = Table(steps, f"{counted(len(steps), 'step')} of {image}", rows.HISTORY_COLUMNS, found)
    return listed(session, table, found, template, quiet=quiet)


class _Changes(Table[Any]):
    """A table in notebooks; its text is that of the `docker` command, a letter and a path."""

    def text(self) -> str:
        return "\n".join(" ".join(cells) for cells in self._cells())


@main.command()
@container_argument()
@pass_session
def diff(session: Session, /, container: str) -> object:
    """Show the files that a container has added (A), changed (C) or deleted (D)."""
    changes = session.api.diff(container) or []
    found = [{"Kind": "CAD"[change["Kind"]], "Path": change["Path"]} for change in changes]
    columns = {"": "Kind", "PATH": "Path"}
    table: Listing[Any] = _Changes(
        changes, f"{counted(len(changes), 'change')} in {container}", columns, found
    )
    return session.surface.show(table)


@main.command(context_settings=PASSTHROUGH)
@container_argument()
@click.argument("options", metavar="[PS OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@pass_session
def top(session: Session, /, container: str, options: tuple[str, ...]) -> object:
    """Show the processes of a container, as the host sees them."""
    listed = session.api.top(container, " ".join(options) or None)
    titles = listed["Titles"]
    found = [dict(zip(titles, process, strict=False)) for process in listed["Processes"]]
    caption = f"{counted(len(found), 'process', 'processes')} in {container}"
    columns = {title: title for title in titles}
    return session.surface.show(Table(found, caption, columns, found))
