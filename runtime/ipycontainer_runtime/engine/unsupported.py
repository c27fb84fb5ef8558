"""What the Engine API has and this engine does not, refused by name and never ignored."""

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.store.records import Config, HostConfig, api_name

_LATER_WORDS = (
    "cgroup device_requests "
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
    if config.args_escaped:
        raise NotImplementedHere("Config.ArgsEscaped is for Windows alone: leave it out")
