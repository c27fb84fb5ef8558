"""`system df`: what images and containers take on the disk."""

from __future__ import annotations

from typing import Any

from .. import rows
from ..listing import Table, Tables
from ..session import Session
from ..templates import formatted
from ..units import ago, counted, decimal_size
from .base import flag, formats, pass_session
from .system import system

_COLUMNS = {
    "TYPE": "Type",
    "TOTAL": "TotalCount",
    "ACTIVE": "Active",
    "SIZE": "Size",
    "RECLAIMABLE": "Reclaimable",
}
_IMAGES = {
    "REPOSITORY": "Repository",
    "TAG": "Tag",
    "IMAGE ID": "ID",
    "CREATED": "CreatedSince",
    "SIZE": "Size",
    "SHARED SIZE": "SharedSize",
    "UNIQUE SIZE": "UniqueSize",
    "CONTAINERS": "Containers",
}
_CONTAINERS = {
    "CONTAINER ID": "ID",
    "IMAGE": "Image",
    "COMMAND": "Command",
    "LOCAL VOLUMES": "LocalVolumes",
    "SIZE": "Size",
    "CREATED": "RunningFor",
    "STATUS": "Status",
    "NAMES": "Names",
}
_VOLUMES = {"VOLUME NAME": "Name", "LINKS": "Links", "SIZE": "Size"}
_ACTIVE = ("running", "paused", "restarting")

Entries = list[dict[str, Any]]


@system.command()
@flag("-v", "--verbose", help="Show each image and container.")
@formats
@pass_session
def df(session: Session, /, template: str | None, *, verbose: bool) -> object:
    """Show what images and containers take on the disk."""
    usage = session.api.df()
    if verbose and template is None:
        return session.surface.show(_verbose(usage))
    found = _summary(usage)
    if template is not None:
        return session.surface.show(formatted(template, found))
    return session.surface.show(Table(found, "disk usage", _COLUMNS, found))


def _summary(usage: dict[str, Any]) -> rows.Rows:
    containers, volumes = usage.get("Containers") or [], usage.get("Volumes") or []
    images, caches = usage.get("Images") or [], usage.get("BuildCache") or []
    used = sum(i["Size"] - i["SharedSize"] for i in images if i["Containers"])
    links = [_links(volume) for volume in volumes]
    return [
        _row(
            "Images",
            images,
            [image for image in images if image["Containers"]],
            usage["LayersSize"],
            usage["LayersSize"] - used,
        ),
        _sized("Containers", containers, [c["State"] in _ACTIVE for c in containers], _written),
        _sized("Local Volumes", volumes, [count > 0 for count in links], _volume_size),
        _sized("Build Cache", caches, [c["InUse"] for c in caches], lambda cache: cache["Size"]),
    ]


def _written(container: dict[str, Any]) -> int:
    return container.get("SizeRw") or 0


def _links(volume: dict[str, Any]) -> int:
    return (volume.get("UsageData") or {}).get("RefCount") or 0


def _volume_size(volume: dict[str, Any]) -> int:
    return max(0, (volume.get("UsageData") or {}).get("Size") or 0)


def _sized(name: str, entries: Entries, active: list[bool], size: Any) -> dict[str, Any]:
    sizes = [size(entry) for entry in entries]
    unused = sum(size for size, used in zip(sizes, active, strict=True) if not used)
    return _row(name, entries, [used for used in active if used], sum(sizes), unused)


def _row(
    name: str, entries: Entries, active: list[Any], size: int, reclaimable: int
) -> dict[str, Any]:
    share = f" ({100 * reclaimable // size}%)" if size else ""
    return {
        "Type": name,
        "TotalCount": str(len(entries)),
        "Active": str(len(active)),
        "Size": decimal_size(size, 4),
        "Reclaimable": decimal_size(reclaimable, 4) + share,
    }


def _verbose(usage: dict[str, Any]) -> Tables:
    images = [row for entry in usage.get("Images") or () for row in _image_rows(entry)]
    containers = [_container_row(entry) for entry in usage.get("Containers") or ()]
    volumes = [
        {
            "Name": volume["Name"],
            "Links": str(_links(volume)),
            "Size": decimal_size(_volume_size(volume), 4),
        }
        for volume in usage.get("Volumes") or ()
    ]
    return Tables(
        {
            "Images": Table(images, counted(len(images), "image"), _IMAGES, images),
            "Containers": Table(
                containers, counted(len(containers), "container"), _CONTAINERS, containers
            ),
            "Local Volumes": Table(volumes, counted(len(volumes), "volume"), _VOLUMES, volumes),
        }
    )


def _image_rows(entry: dict[str, Any]) -> rows.Rows:
    more = {
        "SharedSize": decimal_size(entry["SharedSize"], 4),
        "UniqueSize": decimal_size(entry["Size"] - entry["SharedSize"], 4),
        "Containers": str(entry["Containers"]),
    }
    # An image is counted once, under the first of its names.
    return [{**row, **more} for row in rows.image(entry, whole=False)[:1]]


def _container_row(entry: dict[str, Any]) -> dict[str, Any]:
    volumes = [mount for mount in entry.get("Mounts") or () if mount.get("Type") == "volume"]
    return {
        **rows.container(entry, whole=False),
        "LocalVolumes": str(len(volumes)),
        "Size": decimal_size(_written(entry)),
        "RunningFor": ago(entry["Created"]),
    }
