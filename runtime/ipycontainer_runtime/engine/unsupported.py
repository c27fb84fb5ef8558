"""What the Engine API has and this engine does not, refused by name and never ignored."""

from typing import Any

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.store.records import Config, HostConfig, api_name

_LATER_WORDS = (
    "links port_bindings publish_all_ports cgroup device_requests "
    "cpu_realtime_period cpu_realtime_runtime kernel_memory kernel_memory_tcp "
    "cpu_count cpu_percent io_maximum_iops io_maximum_bandwidth"
)
_LATER = _LATER_WORDS.split()
"""Fields of HostConfig that are refused when they ask for anything."""

_REASONS = {
    "cgroup_parent": "containers start in cgroups that were made ahead, all below one parent",
    "device_cgroup_rules": "a container opens the devices it is given with --device and no others",
}


def refuse_unsupported(host: HostConfig) -> None:
    """Refuse the fields of HostConfig that this engine does not have."""
    for name in _LATER:
        if getattr(host, name):
            raise NotImplementedHere(
                f"HostConfig.{api_name(name)} is not supported yet: leave it out"
            )
    for name, reason in _REASONS.items():
        if getattr(host, name):
            raise NotImplementedHere(
                f"HostConfig.{api_name(name)} is not supported: {reason}; leave it out"
            )
    if host.isolation not in ("", "default"):
        raise InvalidParameter(
            f"Invalid isolation: \"{host.isolation}\" - linux only supports 'default'"
        )
    if host.storage_opt:
        raise InvalidParameter(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option: "
            "leave HostConfig.StorageOpt out"
        )


def refuse_config(config: Config) -> None:
    """Refuse the fields of Config that this engine does not have."""
    if config.mac_address:
        raise NotImplementedHere(
            "Config.MacAddress is not supported yet, as bridge networks are not: leave it out"
        )
    if config.args_escaped:
        raise NotImplementedHere("Config.ArgsEscaped is for Windows alone: leave it out")


def refuse_networking(networking: dict[str, Any] | None, host: HostConfig) -> None:
    """Refuse settings of endpoints: there are no networks to which a container is attached."""
    for network, endpoint in ((networking or {}).get("EndpointsConfig") or {}).items():
        asked = sorted(name for name, value in (endpoint or {}).items() if value)
        if asked:
            raise NotImplementedHere(
                f"NetworkingConfig of the network {network!r} is not supported yet: "
                f"leave {', '.join(asked)} out"
            )
        if network != (host.network_mode or "default"):
            raise NotImplementedHere(
                f"NetworkingConfig names the network {network!r}, and networks are not supported "
                "yet: use HostConfig.NetworkMode none or host"
            )
