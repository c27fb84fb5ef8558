"""What the engine says of an object, as a table's row; the fields are named as Docker names them.

A row is also what `--format` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import one_line
from .published import of_entry, summary
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
NETWORK_COLUMNS = {"NETWORK ID": "ID", "NAME": "Name", "DRIVER": "Driver", "SCOPE": "Scope"}
VOLUME_COLUMNS = {"DRIVER": "Driver", "VOLUME NAME": "Name"}
MEASURED_VOLUME_COLUMNS = {**VOLUME_COLUMNS, "LINKS": "Links", "SIZE": "Size"}
_SHORT_ID = 12
_COMMAND_WIDTH = 20
_STEP_WIDTH = 45
_NONE = "<none>"
_NOT_KNOWN = "N/A"


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
    mounts = [mount.get("Name") or mount.get("Source", "") for mount in entry.get("Mounts") or ()]
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "ID": _id(entry["Id"], whole=whole),
        "Image": _id(image, whole=whole) if image.startswith("sha256:") else image,
        "Command": f'"{_cut(entry["Command"], _COMMAND_WIDTH, whole=whole)}"',
        "CreatedAt": local_time(entry["Created"]),
        "RunningFor": ago(entry["Created"]),
        "Ports": summary(of_entry(entry)),
        "State": entry["State"],
        "Status": entry["Status"],
        "Names": ",".join(name.lstrip("/") for name in entry.get("Names") or ()),
        "Labels": _labels(entry),
        "Mounts": ",".join(mounts),
        "Networks": ",".join(networks),
        "Size": _container_size(entry),
    }


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


def network(entry: Entry, *, whole: bool) -> dict[str, Any]:
    """Return the row of one entry of `GET /networks`."""
    return {
        "ID": _id(entry["Id"], whole=whole),
        "Name": entry["Name"],
        "Driver": entry["Driver"],
        "Scope": entry["Scope"],
        "Internal": _truth(entry.get("Internal")),
        "IPv4": _truth(entry.get("EnableIPv4", True)),
        "IPv6": _truth(entry.get("EnableIPv6")),
        "Labels": _labels(entry),
        "CreatedAt": entry.get("Created") or "",
    }


def volume(entry: Entry) -> dict[str, Any]:
    """Return the row of one entry of `GET /volumes`; size and links where they were measured."""
    usage = entry.get("UsageData") or {"Size": -1, "RefCount": -1}
    size, links = usage["Size"], usage["RefCount"]
    return {
        "Driver": entry["Driver"],
        "Name": one_line(entry["Name"]),  # a plugin's may have anything in it
        "Scope": entry.get("Scope") or "local",
        "Mountpoint": entry.get("Mountpoint") or "",
        "Labels": _labels(entry),
        "Links": str(links) if links >= 0 else _NOT_KNOWN,
        "Size": decimal_size(size) if size >= 0 else _NOT_KNOWN,
    }


def _labels(entry: Entry) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((entry.get("Labels") or {}).items()))


def _truth(value: object) -> str:
    return "true" if value else "false"


def facts(document: Entry) -> dict[str, str]:
    """Return what a person asks first of what was inspected."""
    if "State" in document:
        return _container_facts(document)
    if "Mountpoint" in document:
        return _volume_facts(document)
    return network_facts(document) if "IPAM" in document else _image_facts(document)


def network_facts(document: Entry) -> dict[str, str]:
    """Return what a person asks first of an inspected network."""
    pools = (document.get("IPAM") or {}).get("Config") or ()
    found = {
        "Network": document["Name"],
        "ID": document["Id"][:_SHORT_ID],
        "Driver": document["Driver"],
        "Subnet": ", ".join(pool["Subnet"] for pool in pools if pool.get("Subnet")),
        "Gateway": ", ".join(pool["Gateway"] for pool in pools if pool.get("Gateway")),
        "Internal": "nothing gets out, nor in" if document.get("Internal") else "",
        "Labels": _labels(document),
        "Created": _when(document.get("Created") or ""),
    }
    return {name: value for name, value in found.items() if value}


def _volume_facts(document: Entry) -> dict[str, str]:
    options = sorted((document.get("Options") or {}).items())
    found = {
        "Volume": document["Name"],
        "Driver": document["Driver"],
        "Folder": document["Mountpoint"],
        "Options": ", ".join(f"{name}={value}" for name, value in options),
        "Labels": _labels(document),
        "Created": _when(document.get("CreatedAt") or ""),
    }
    return {name: value for name, value in found.items() if value}


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
