"""What can be told of a container on an engine that has no timelines: Docker's, or Podman's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..units import parse_time

UNSEEN = (
    "This engine keeps no timeline: only what `inspect` tells is known. Namespaces, id maps, "
    "mounts, capabilities, the filter and the steps of the start cannot be seen here; "
    "ipycontainer's own engine tells them."
)
_SECOND = 1_000_000_000


def document(container: Mapping[str, Any], history: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a timeline in our engine's shape from what `inspect` and `history` tell."""
    state, host, config = container["State"], container["HostConfig"], container["Config"]
    graph = (container.get("GraphDriver") or {}).get("Data") or {}
    return {
        "Id": container["Id"],
        "Name": container["Name"].lstrip("/"),
        "Command": [container["Path"], *container["Args"]],
        "Hostname": config["Hostname"],
        "Explained": False,
        "Seen": "",
        "Steps": _steps(container["Created"], state),
        "Image": {
            "Name": config["Image"],
            "Id": container["Image"],
            "Digest": "",
            "Layers": [_layer(entry) for entry in reversed(history) if entry["Size"]],
        },
        "Root": {
            "Driver": (container.get("GraphDriver") or {}).get("Name") or container["Driver"],
            "Upper": graph.get("UpperDir", ""),
            "Work": graph.get("WorkDir", ""),
        },
        "Network": host.get("NetworkMode", ""),
        "Asked": {"Limits": _limits(host), "Privileged": bool(host.get("Privileged"))},
        "Status": state["Status"],
        "ExitCode": state["ExitCode"],
        "Error": state.get("Error", ""),
        "Facts": None,
    }


def _steps(made: str, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    created, started = parse_time(made), _instant(state["StartedAt"])
    if started is None:
        return []
    steps = [_step("engine", "make and start the container", created, created, started)]
    ended = None if state["Running"] else _instant(state["FinishedAt"])
    if ended is not None:
        steps.append(_step("program", "run until its end", created, started, ended))
    return steps


def _step(who: str, what: str, first: float, begin: float, end: float) -> dict[str, Any]:
    return {
        "Who": who,
        "What": what,
        "Begin": int((begin - first) * _SECOND),
        "Took": max(int((end - begin) * _SECOND), 0),
        "Detail": "",
    }


def _instant(text: str) -> float | None:
    """Return a time of `inspect`; None for the year 1, which means never."""
    return None if text.startswith("0001-") else parse_time(text)


def _layer(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"CreatedBy": entry["CreatedBy"], "Digest": entry["Id"], "Size": entry["Size"]}


def _limits(host: Mapping[str, Any]) -> dict[str, Any]:
    known = {"memory": "Memory", "nano cpus": "NanoCpus", "pids": "PidsLimit"}
    return {name: host[field] for name, field in known.items() if host.get(field)}
