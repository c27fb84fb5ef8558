"""`search`: which images a registry has by a word."""

from __future__ import annotations

import json
from typing import Any

import click

from ..listing import Table
from ..session import Session
from ..templates import formatted
from ..units import counted
from .base import flag, formats, main, pass_session
from .filters import FOUND

_COLUMNS = {
    "NAME": "Name",
    "DESCRIPTION": "Description",
    "STARS": "StarCount",
    "OFFICIAL": "IsOfficial",
}
_WIDTH = 45


@main.command()
@FOUND.option
@click.option("--limit", type=click.IntRange(1, 100), metavar="NUMBER", help="Show this many.")
@flag("--no-trunc", help="Cut nothing short.")
@formats
@click.argument("term")
@pass_session
def search(
    session: Session,
    /,
    term: str,
    filters: tuple[str, ...],
    limit: int | None,
    template: str | None,
    *,
    no_trunc: bool,
) -> object:
    """Search a registry for images: Docker Hub, or the one that TERM begins with."""
    api = session.api
    with FOUND.read(filters) as wanted:
        params = {"term": term, "limit": limit, "filters": json.dumps(wanted)}
        # docker-py's own call knows no filters.
        results = api._result(api._get(api._url("/images/search"), params=params), json=True)
    found = [_row(result, whole=no_trunc) for result in results]
    if template is not None:
        return session.surface.show(formatted(template, found))
    return session.surface.show(Table(results, counted(len(found), "image"), _COLUMNS, found))


def _row(result: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    text = " ".join((result.get("description") or "").split())
    if not whole and len(text) > _WIDTH:
        text = text[: _WIDTH - 1] + "…"
    return {
        "Name": result["name"],
        "Description": text,
        "StarCount": result["star_count"],
        "IsOfficial": "[OK]" if result["is_official"] else "",
        "IsAutomated": "[OK]" if result.get("is_automated") else "",
    }
