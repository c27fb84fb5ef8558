"""`volume` and its verbs: create, ls, inspect, rm and prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from docker.utils import version_gte

from .. import rows
from ..failures import Usage
from ..listing import Documents, Table
from ..session import Session
from ..templates import formatted
from ..units import counted
from .base import flag, formats, main, pass_session, volume_argument
from .filters import PRUNED_VOLUMES, VOLUMES
from .looking import listed
from .pruning import Pruned, force_option, sure
from .settings import pairs

if TYPE_CHECKING:
    from docker.models.volumes import Volume

_ALL_SINCE = "1.42"
"""Of the Engine API: until then a prune removed named volumes as well."""


@main.group()
def volume() -> None:
    """Make volumes: folders that outlive their containers."""


@volume.command()
@click.option("-d", "--driver", default="local", metavar="NAME", help="Its driver (local).")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Label the volume.")
@click.option(
    *("-o", "--opt", "options"),
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the driver: type=tmpfs, device=tmpfs, o=size=64m.",
)
@click.option("--name", "flagged", hidden=True)
@click.argument("name", metavar="[VOLUME]", required=False)
@pass_session
def create(
    session: Session,
    /,
    name: str | None,
    *,
    driver: str,
    label: tuple[str, ...],
    options: tuple[str, ...],
    flagged: str | None,
) -> Volume:
    """Make a volume, of a name of its own without VOLUME, and return it."""
    if name and flagged:
        raise Usage("--name and VOLUME say the same: leave one out")
    body = {
        "Name": name or flagged,
        "Driver": driver,
        "Labels": pairs(label),
        "DriverOpts": pairs(options),
    }
    api = session.api
    response = api._post_json(
        api._url("/volumes/create"), data={key: value for key, value in body.items() if value}
    )
    made = api._result(response, json=True)
    session.surface.say(made["Name"])
    return session.client.volumes.prepare_model(made)


@volume.command()
@flag("-q", "--quiet", help="Show only names.")
@flag("-s", "--size", help="Show their sizes, and how many containers have them.")
@VOLUMES.option
@formats
@pass_session
def ls(
    session: Session, /, filters: tuple[str, ...], template: str | None, *, quiet: bool, size: bool
) -> object:
    """List volumes. Their sizes are read anew from all of their files."""
    with VOLUMES.read(filters) as wanted:
        entries = session.api.volumes(filters=wanted)["Volumes"] or []
    entries.sort(key=lambda entry: entry["Name"])
    if size or any(word in (template or "") for word in ("Size", "Links")):
        entries = _measured(session, entries)
    items = [session.client.volumes.prepare_model(entry) for entry in entries]
    found = [rows.volume(entry) for entry in entries]
    if quiet and template is None:
        template = "{{.Name}}"
    columns = rows.MEASURED_VOLUME_COLUMNS if size else rows.VOLUME_COLUMNS
    table = Table(items, counted(len(items), "volume"), columns, found)
    return listed(session, table, found, template, quiet=False)


def _measured(session: Session, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries with their sizes, which only `system df` tells."""
    if not entries:
        return entries
    api = session.api
    # Engines before API 1.42 measure everything.
    response = api._get(api._url("/system/df"), params={"type": "volume"})
    usage = {
        entry["Name"]: entry.get("UsageData")
        for entry in api._result(response, json=True)["Volumes"] or ()
    }
    return [{**entry, "UsageData": usage.get(entry["Name"])} for entry in entries]


@volume.command()
@formats
@volume_argument(many=True)
@pass_session
def inspect(session: Session, /, volumes: tuple[str, ...], *, template: str | None) -> object:
    """Show all that is known of volumes."""
    documents = [session.api.inspect_volume(name) for name in volumes]
    if template is not None and template != "json":
        return session.surface.show(formatted(template, documents))
    items = [session.client.volumes.prepare_model(document) for document in documents]
    facts = [rows.facts(document) for document in documents]
    return session.surface.show(Documents(items, documents, facts))


@volume.command()
@flag("-f", "--force", help="Do not fail for a volume that is not there.")
@volume_argument(many=True)
@pass_session
def rm(session: Session, volumes: tuple[str, ...], *, force: bool) -> None:
    """Remove volumes."""
    session.each(volumes, lambda name: session.api.remove_volume(name, force=force))


@volume.command()
@flag("-a", "--all", "everything", help="Remove those with a name, too.")
@PRUNED_VOLUMES.option
@force_option
@pass_session
def prune(session: Session, filters: tuple[str, ...], *, everything: bool, force: bool) -> None:
    """Remove the anonymous volumes that no container uses."""
    old = not version_gte(session.api._version, _ALL_SINCE)
    kind = "all" if everything or old else "anonymous"
    if not (force or sure(session, f"{kind} local volumes not used by at least one container")):
        return
    if everything and not old:
        filters = (*filters, "all=true")
    pruned = Pruned(session, filters, PRUNED_VOLUMES)
    pruned.volumes()
    pruned.total()
