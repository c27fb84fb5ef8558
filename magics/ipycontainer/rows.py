"""What the engine says of an object, as a table's row; the fields are named as Docker names them.

A row is also what `--format` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .units import ago, decimal_size, local_time, parse_time

Entry = Mapping[str, Any]
Rows = list[dict[str, Any]]

CONTAINER_COLUMNS = {
    "CONTAINER ID": "ID",
    "IMAGE": "Image",
    "COMMAND": "Command",
    "CREATED": "RunningFor",
    "STATUS": "Status",
    "PORTS": "Ports",
    "NAMES": "Names",
}
IMAGE_COLUMNS = {
    "REPOSITORY": "Repository",
    "TAG": "Tag",
    "IMAGE ID": "ID",
    "CREATED": "CreatedSince",
    "SIZE": "Size",
}
IMAGE_DIGEST_COLUMNS = {
    "REPOSITORY": "Repository",
    "TAG": "Tag",
    "DIGEST": "Digest",
    "IMAGE ID": "ID",
    "CREATED": "CreatedSince",
    "SIZE": "Size",
}
HISTORY_COLUMNS = {
    "IMAGE": "ID",
    "CREATED": "CreatedSince",
    "CREATED BY": "CreatedBy",
    "SIZE": "Size",
    "COMMENT": "Comment",
}
_SHORT_ID = 12
_COMMAND_WIDTH = 20
_STEP_WIDTH = 45
_NONE = "<none>"


def _id(full: str, *, whole: bool) -> str:
    return full if whole else full.removeprefix("sha256:")[:_SHORT_ID]


def _cut(text: str, width: int, *, whole: bool) -> str:
    return text if whole or len(text) <= width else text[: width - 1] + "…"


def container_name(entry: Entry) -> str:
    """Return a container's own name: those with a second slash are links to it."""
    names = [name.lstrip("/") for name in entry.get("Names") or () if "/" not in name[1:]]
    return names[0] if names else ""


def container(entry: Entry, *, whole: bool) -> dict[str, Any]:
    """Return the row of one entry of `GET /containers/json`."""
    image = entry["Image"]
    labels = entry.get("Labels") or {}
    mounts = [mount.get("Name") or mount.get("Source", "") for mount in entry.get("Mounts") or ()]
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "ID": _id(entry["Id"], whole=whole),
        "Image": _id(image, whole=whole) if image.startswith("sha256:") else image,
        "Command": f'"{_cut(entry["Command"], _COMMAND_WIDTH, whole=whole)}"',
        "CreatedAt": local_time(entry["Created"]),
        "RunningFor": ago(entry["Created"]),
        "Ports": ", ".join(_port(port) for port in entry.get("Ports") or ()),
        "State": entry["State"],
        "Status": entry["Status"],
        "Names": ",".join(name.lstrip("/") for name in entry.get("Names") or ()),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Mounts": ",".join(mounts),
        "Networks": ",".join(networks),
        "Size": _container_size(entry),
    }


def _port(port: Entry) -> str:
    private = f"{port['PrivatePort']}/{port['Type']}"
    if "PublicPort" not in port:
        return private
    host = port.get("IP") or ""
    return f"{f'[{host}]' if ':' in host else host}:{port['PublicPort']}->{private}"


def _container_size(entry: Entry) -> str:
    own, virtual = entry.get("SizeRw") or 0, entry.get("SizeRootFs") or 0
    return decimal_size(own) + (f" (virtual {decimal_size(virtual)})" if virtual else "")


def image(entry: Entry, *, whole: bool) -> Rows:
    """Return the rows of one entry of `GET /images/json`: one for each tag, or one without."""
    digests = dict(d.split("@", 1) for d in entry.get("RepoDigests") or ())
    tags = entry.get("RepoTags") or [f"{next(iter(digests), _NONE)}:{_NONE}"]
    return [_image_row(entry, *tag.rsplit(":", 1), digests=digests, whole=whole) for tag in tags]


def _image_row(
    entry: Entry, repository: str, tag: str, *, digests: Mapping[str, str], whole: bool
) -> dict[str, Any]:
    return {
        "ID": _id(entry["Id"], whole=whole),
        "Repository": repository,
        "Tag": tag,
        "Digest": digests.get(repository, _NONE),
        "CreatedAt": local_time(entry["Created"]),
        "CreatedSince": ago(entry["Created"]),
        "Size": decimal_size(entry["Size"]),
    }


def step(entry: Entry, *, whole: bool) -> dict[str, Any]:
    """Return the row of one entry of `GET /images/NAME/history`."""
    return {
        "ID": _id(entry["Id"], whole=whole),
        "CreatedAt": local_time(entry["Created"]),
        "CreatedSince": ago(entry["Created"]),
        "CreatedBy": _cut(entry["CreatedBy"], _STEP_WIDTH, whole=whole),
        "Size": decimal_size(entry["Size"]),
        "Comment": entry.get("Comment") or "",
    }


def facts(document: Entry) -> dict[str, str]:
    """Return what a person asks first of an inspected container or image."""
    return _container_facts(document) if "State" in document else _image_facts(document)


def _container_facts(document: Entry) -> dict[str, str]:
    state, config = document["State"], document["Config"]
    ended = state["Status"] == "exited"
    command = [document["Path"], *document["Args"]]
    found = {
        "Container": document["Name"].lstrip("/"),
        "ID": document["Id"][:_SHORT_ID],
        "Image": config["Image"],
        "Command": " ".join(command),
        "State": state["Status"] + (f", exit code {state['ExitCode']}" if ended else ""),
        "Process": str(state["Pid"]) if state["Pid"] else "",
        "Created": _when(document["Created"]),
        "Folder": config.get("WorkingDir") or "",
        "User": config.get("User") or "",
    }
    return {name: value for name, value in found.items() if value}


def _image_facts(document: Entry) -> dict[str, str]:
    config = document.get("Config") or {}
    command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    found = {
        "Image": ", ".join(document.get("RepoTags") or ()) or document["Id"][:19],
        "ID": document["Id"],
        "Digest": ", ".join(document.get("RepoDigests") or ()),
        "Platform": f"{document.get('Os', '')}/{document.get('Architecture', '')}",
        "Size": decimal_size(document["Size"]),
        "Layers": str(len((document.get("RootFS") or {}).get("Layers") or ())),
        "Command": " ".join(command),
        "Created": _when(document.get("Created") or ""),
    }
    return {name: value for name, value in found.items() if value}


def _when(stamp: str) -> str:
    try:
        return ago(parse_time(stamp))
    except ValueError:  # an image may say nothing, or year 1
        return ""
