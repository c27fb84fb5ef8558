"""From the flags of `run` and `create` to the request that they make, in docker-py's words."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..endings import TIMEOUT
from ..failures import Usage
from ..units import parse_duration
from .endpoints import container_links, network_mode
from .mounts import mount, volumes
from .options import Flags
from .ports import bindings, exposed

OWN_FLAGS = {"--timeout": "timeout", "--require-limits": "require_limits"}
"""What Docker's API has no field for; our engine takes it as annotations."""

_SAME_NAME = (
    *("cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems"),
    *("pids_limit", "blkio_weight"),
    *("read_only", "privileged", "oom_kill_disable"),
)
_SAME_NAME_LISTS = ("cap_add", "cap_drop", "group_add", "dns", "dns_search")


def config_of(flags: Flags, image: str, command: tuple[str, ...]) -> Flags:
    """Return the keywords of docker-py's `create_container_config` for these flags."""
    targets, _ = volumes(flags["volume"])
    ports = [*bindings(flags["publish"]), *exposed(flags["expose"])]
    return {
        "image": image,
        "command": list(command) or None,
        "hostname": flags["hostname"],
        "domainname": flags["domainname"],
        "user": flags["user"],
        "stdin_open": flags["interactive"],
        "tty": flags["tty"],
        "detach": flags.get("detach", False),
        "environment": environment(flags["env"], flags["env_file"]),
        # A list, or docker-py would split it as a shell does.
        "entrypoint": None if flags["entrypoint"] is None else [flags["entrypoint"]],
        "working_dir": flags["workdir"],
        "labels": pairs(flags["label"]),
        "stop_signal": flags["stop_signal"],
        "stop_timeout": flags["stop_timeout"],
        "healthcheck": _healthcheck(flags),
        "ports": [tuple(port.split("/")) for port in ports] or None,
        "volumes": targets or None,
    }


def host_config_of(flags: Flags) -> Flags:
    """Return the keywords of docker-py's `create_host_config` for these flags."""
    _, binds = volumes(flags["volume"])
    given = {
        "auto_remove": flags["auto_remove"],
        "mem_limit": size(flags, "memory"),
        "memswap_limit": swap(flags),
        "mem_reservation": size(flags, "memory_reservation"),
        "shm_size": size(flags, "shm_size"),
        "nano_cpus": _nano_cpus(flags),
        "network_mode": network_mode(flags),
        "publish_all_ports": flags["publish_all"],
        "dns_opt": list(flags["dns_option"]),
        "binds": binds,
        "mounts": [mount(text) for text in flags["mount"]],
        "volumes_from": list(flags["volumes_from"]),
        "volume_driver": flags["volume_driver"],
        "tmpfs": {path: options for path, _, options in _partitioned(flags["tmpfs"], ":")},
        "security_opt": [_security_option(text) for text in flags["security_opt"]],
        "devices": [text if ":" in text else f"{text}:{text}:rwm" for text in flags["device"]],
        "ulimits": [ulimit(text) for text in flags["ulimit"]],
        "sysctls": pairs(flags["sysctl"]),
        "pid_mode": flags["pid"],
        "ipc_mode": flags["ipc"],
        "uts_mode": flags["uts"],
        "cgroupns": flags["cgroupns"],
        "restart_policy": _restart(flags["restart"]),
        "log_config": _log(flags),
        "init": flags["init"] or None,
    }
    given |= {name: flags[name] for name in _SAME_NAME}
    given |= {name: list(flags[name]) for name in _SAME_NAME_LISTS}
    return {name: value for name, value in given.items() if value not in (None, [], {})}


def more_host_config(flags: Flags) -> Flags:
    """Return what docker-py has no words for, or too few of them, in the API's words."""
    given = {
        "Annotations": _annotations(flags),
        "UsernsMode": flags["userns"],
        "PortBindings": bindings(flags["publish"]),
        "ExtraHosts": [_host_line(text) for text in flags["add_host"]],
        "Links": container_links(flags),
    }
    return {name: value for name, value in given.items() if value}


def _host_line(text: str) -> str:
    """Return `name:address`; Docker takes `name=address` as well, and an IPv6 one in brackets."""
    separator = "=" if "=" in text else ":"
    name, address = _split(text, separator, "--add-host")
    return f"{name}:{address.removeprefix('[').removesuffix(']')}"


def _annotations(flags: Flags) -> dict[str, str]:
    """Return the annotations, our own flags' among them."""
    found = pairs(flags["annotation"])
    if flags["timeout"] is not None:
        found[TIMEOUT] = f"{flags['timeout']:g}"
    if flags["require_limits"]:
        found["io.ipycontainer.require-limits"] = "true"
    if flags["explain"]:
        found["io.ipycontainer.explain"] = "true"
    return found


_HEALTH_TIMES = {
    "Interval": "health_interval",
    "Timeout": "health_timeout",
    "StartPeriod": "health_start_period",
    "StartInterval": "health_start_interval",
}


def _healthcheck(flags: Flags) -> Any:
    """Return the health check, None for the image's own."""
    from docker.types import Healthcheck

    given = {name: flags[flag] for name, flag in _HEALTH_TIMES.items() if flags[flag] is not None}
    command, retries = flags["health_cmd"], flags["health_retries"]
    if flags["no_healthcheck"]:
        if given or command or retries is not None:
            raise Usage("--no-healthcheck does not go with another --health flag: leave one out")
        return Healthcheck(test=["NONE"])
    if not (given or command or retries is not None):
        return None
    check = Healthcheck(test=["CMD-SHELL", command] if command else None, retries=retries)
    # docker-py has no word for the start interval.
    check.update({name: round(parse_duration(text) * 1e9) for name, text in given.items()})
    return check


def update_of(flags: Flags) -> Flags:
    """Return the body of an update for these flags, in the API's words: docker-py lacks some."""
    given = {
        "Memory": size(flags, "memory"),
        "MemorySwap": swap(flags),
        "MemoryReservation": size(flags, "memory_reservation"),
        "NanoCpus": _nano_cpus(flags),
        "CpuShares": flags["cpu_shares"],
        "CpuPeriod": flags["cpu_period"],
        "CpuQuota": flags["cpu_quota"],
        "CpusetCpus": flags["cpuset_cpus"],
        "CpusetMems": flags["cpuset_mems"],
        "PidsLimit": flags["pids_limit"],
        "BlkioWeight": flags["blkio_weight"],
        "RestartPolicy": _restart(flags["restart"]),
    }
    return {name: value for name, value in given.items() if value is not None}


def _security_option(text: str) -> str:
    """Return an option with the text of the seccomp profile in place of its file's name."""
    name, equals, file = text.partition("=")
    if name != "seccomp" or not equals or file in ("unconfined", "builtin"):
        return text
    try:
        profile = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Usage(f"--security-opt {text}: the profile cannot be read: {error}") from error
    return f"seccomp={profile}"


def swap(flags: Flags) -> int | None:
    """Return `--memory-swap` in bytes, or None when it was not written."""
    return -1 if flags["memory_swap"] == "-1" else size(flags, "memory_swap")


def _nano_cpus(flags: Flags) -> int | None:
    return None if flags["cpus"] is None else round(flags["cpus"] * 1e9)


def size(flags: Flags, name: str) -> int | None:
    """Return a size in bytes, or None when the flag was not written."""
    from docker.errors import DockerException
    from docker.utils import parse_bytes

    text = flags[name]
    if text is None:
        return None
    try:
        return int(parse_bytes(text))
    except DockerException as error:
        option = f"--{name.replace('_', '-')}"
        raise Usage(f"{option} {text!r}: write a number and its unit: 500k, 64m, 1g") from error


def environment(variables: Iterable[str], files: Iterable[str]) -> list[str]:
    """Return NAME=VALUE texts; a name alone takes its value from here, or is left out."""
    lines = [line for file in files for line in _env_file(file)]
    found = []
    for text in (*lines, *variables):
        name, equals, _ = text.partition("=")
        if not name:
            raise Usage(f"--env {text!r}: write NAME=VALUE")
        if equals:
            found.append(text)
        elif name in os.environ:
            found.append(f"{name}={os.environ[name]}")
    return found


def _env_file(name: str) -> list[str]:
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Usage(f"--env-file {name}: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _partitioned(texts: Iterable[str], separator: str) -> list[tuple[str, str, str]]:
    return [text.partition(separator) for text in texts]


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Return NAME=VALUE texts as a mapping."""
    return {name: value for name, _, value in _partitioned(texts, "=")}


def _split(text: str, separator: str, option: str) -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not (left and found and right):
        raise Usage(f"{option} {text!r}: write it with a {separator!r}")
    return left, right


def ulimit(text: str) -> Any:
    """Return a resource limit in docker-py's words."""
    from docker.types import Ulimit

    name, limits = _split(text, "=", "--ulimit")
    soft, _, hard = limits.partition(":")
    try:
        return Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError as error:
        raise Usage(f"--ulimit {text!r}: the limits are numbers, nofile=1024:2048") from error


def _restart(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    name, _, count = text.partition(":")
    if count and not count.isdecimal():
        raise Usage(f"--restart {text!r}: write on-failure:3")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _log(flags: Flags) -> Any:
    if flags["log_driver"] is None and not flags["log_opt"]:
        return None
    from docker.types import LogConfig

    return LogConfig(type=flags["log_driver"] or "", config=pairs(flags["log_opt"]))
