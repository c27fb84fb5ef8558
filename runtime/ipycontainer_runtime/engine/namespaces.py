"""Which namespaces a container has of its own, and which it shares with the host.

`NetworkMode`, `PidMode`, `IpcMode`, `UTSMode` and `CgroupnsMode` say so; `users` answers for
`UsernsMode`. One that others may join (`shareable`) is private here until joining another
container's is there.
"""

from ipycontainer_runtime.errors import NotImplementedHere
from ipycontainer_runtime.store.records import HostConfig

KINDS = ("mount", "pid", "ipc", "uts", "cgroup", "network")
NETWORKS = ("none", "host", "bridge", "default")

_MODES = {
    "NetworkMode": NETWORKS,
    "PidMode": ("host",),
    "IpcMode": ("none", "private", "shareable", "host"),
    "UTSMode": ("host",),
    "CgroupnsMode": ("private", "host"),
}


def own_kinds(host: HostConfig) -> list[str]:
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
        if mode and mode not in _MODES[field]:
            raise NotImplementedHere(
                f'HostConfig.{field} "{mode}" is not supported yet: '
                f"use {', '.join(_MODES[field])}, or leave it out"
            )
