"""Containers in the shapes of the Engine API: a line of the list, and the whole inspection."""

import time
from typing import Any

import msgspec

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.networks import ports
from ipycontainer_runtime.engine.networks.shapes import endpoints_shape, settings_shape
from ipycontainer_runtime.engine.times import human_duration, parse_rfc3339
from ipycontainer_runtime.store.records import NEVER, MountPoint, Record, State


def status_text(state: State) -> str:
    """Return `Up 3 seconds`, `Exited (0) 2 minutes ago`, `Created`."""
    if state.running:
        lasted = human_duration(time.time() - parse_rfc3339(state.started_at) / 1e9)
        if state.paused:
            return f"Up {lasted} (Paused)"
        return f"Up {lasted}{_health_text(state)}"
    if state.status == "dead":
        return "Dead"
    if state.started_at == NEVER:
        return "Created"
    since = time.time() - parse_rfc3339(state.finished_at) / 1e9
    how = "Restarting" if state.restarting else "Exited"
    return f"{how} ({state.exit_code}) {human_duration(since)} ago"


def _health_text(state: State) -> str:
    if state.health is None:
        return ""
    starting = state.health.status == "starting"
    return " (health: starting)" if starting else f" ({state.health.status})"


def command_text(words: list[str]) -> str:
    """Return the command in one line, with the words that hold a space quoted, as Docker does."""
    return " ".join([words[0], *(f"'{word}'" if " " in word else word for word in words[1:])])


def summary(container: Container, image: str) -> dict[str, Any]:
    """Return one element of GET /containers/json; `image` is the name that still means it."""
    record, state = container.record, container.state
    config, host = record.config, record.host_config
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": image,
        "ImageID": record.image,
        "Command": command_text(config.command),
        "Created": record.created_ns // 1_000_000_000,
        "Ports": ports.in_list(config, container.sandbox.published) if container.sandbox else [],
        "Labels": config.labels or {},
        "State": state.shown,
        "Status": status_text(state),
        "HostConfig": {"NetworkMode": host.network_mode},
        "NetworkSettings": {"Networks": endpoints_shape(container)},
        "Mounts": _mounts(record),
    }


def inspection(container: Container, driver: str, graph: dict[str, str] | None) -> dict[str, Any]:
    """Return GET /containers/{id}/json; `driver` is the snapshotter and `graph` what it says."""
    record, state, folder = container.record, container.state, container.folder
    command = record.config.command
    started = state.started_at != NEVER
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": command[0],
        "Args": command[1:],
        "State": _state(state),
        "Image": record.image,
        "ResolvConfPath": f"{folder}/resolv.conf" if started else "",
        "HostnamePath": f"{folder}/hostname" if started else "",
        "HostsPath": f"{folder}/hosts" if started else "",
        "LogPath": _log_path(container) if started else "",
        "Name": f"/{record.name}",
        "RestartCount": state.restart_count,
        "Driver": driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(container.exec_ids) or None,
        "HostConfig": record.host_config,
        "GraphDriver": {"Data": graph, "Name": driver},
        "Mounts": _mounts(record),
        "Config": record.config,
        "NetworkSettings": settings_shape(container),
    }


def _log_path(container: Container) -> str:
    return container.log_path if container.logged else ""


def _state(state: State) -> dict[str, Any]:
    return {
        "Status": state.shown,
        "Running": state.active,
        "Paused": state.paused,
        "Restarting": state.restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
        **({"Health": state.health} if state.health else {}),
        **({"Fault": state.fault} if state.fault else {}),
    }


def _mounts(record: Record) -> list[dict[str, Any]]:
    return [_mount(point) for point in record.mounts if not point.hidden]


def _mount(point: MountPoint) -> dict[str, Any]:
    volume = {"Name": point.name} if point.type == "volume" else {}
    driver = {"Driver": point.driver} if point.type == "volume" else {}
    return {
        "Type": point.type,
        **volume,
        "Source": point.source,
        "Destination": point.destination,
        **driver,
        "Mode": point.mode,
        "RW": point.writable,
        "Propagation": point.propagation,
    }


encode = msgspec.json.Encoder().encode
