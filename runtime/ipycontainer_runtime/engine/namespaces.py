"""Which namespaces a container has of its own, and which it shares with the host.

`NetworkMode`, `PidMode`, `IpcMode`, `UTSMode` and `CgroupnsMode` say so; `users` answers for
`UsernsMode`. Network, PID and IPC namespaces may be another container's (`container:ID`; see
`joining`).
"""

from ipycontainer_runtime.engine.runtimes import OWN
from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.store.records import HostConfig

KINDS = ("mount", "pid", "ipc", "uts", "cgroup", "network")

_MODES = {
    "PidMode": ("host",),
    "IpcMode": ("none", "private", "shareable", "host"),
    "UTSMode": ("host",),
    "CgroupnsMode": ("private", "host"),
}


_JOINABLE = ("IpcMode", "PidMode", "NetworkMode")
_JOIN = "container:"


def donor_of(mode: str) -> str:
    """Return which container's namespace a mode names; empty where it names none."""
    return mode.removeprefix(_JOIN) if mode.startswith(_JOIN) else ""


def own_kinds(host: HostConfig) -> list[str]:
    """Return the kinds of namespace that are made for a container."""
    joined = {"pid": host.pid_mode, "ipc": host.ipc_mode, "network": host.network_mode}
    return [kind for kind in entered_kinds(host) if not donor_of(joined.get(kind, ""))]


def entered_kinds(host: HostConfig) -> list[str]:
    """Return the kinds of namespace that a container does not share with the host."""
    modes = {
        "pid": host.pid_mode,
        "ipc": host.ipc_mode,
        "uts": host.uts_mode,
        "cgroup": host.cgroupns_mode,
        "network": host.network_mode,
    }
    return [kind for kind in KINDS if modes.get(kind) != "host"]


def check_namespaces(host: HostConfig) -> None:
    """Refuse modes that are not supported, by name."""
    asked = {
        "NetworkMode": host.network_mode,
        "PidMode": host.pid_mode,
        "IpcMode": host.ipc_mode,
        "UTSMode": host.uts_mode,
        "CgroupnsMode": host.cgroupns_mode,
    }
    for field, mode in asked.items():
        if field in _JOINABLE and mode.startswith(_JOIN):
            _check_join(field, mode, host)
        elif mode and mode not in _MODES.get(field, (mode,)):
            raise NotImplementedHere(
                f'HostConfig.{field} "{mode}" is not supported yet: '
                f"use {', '.join(_MODES[field])}, or leave it out"
            )


def _check_join(field: str, mode: str, host: HostConfig) -> None:
    if not donor_of(mode):
        raise InvalidParameter(f'HostConfig.{field} "{mode}" names no container: add its id')
    if host.runtime not in ("", None, OWN):
        raise NotImplementedHere(
            f'HostConfig.{field} "{mode}" is not supported with the runtime {host.runtime}: '
            "leave one of them out"
        )
