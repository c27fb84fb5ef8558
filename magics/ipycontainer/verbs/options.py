"""The flags of `run` and `create`, and the request that they make. Names and forms are Docker's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..failures import Usage
from .base import flag

_MOUNTS = ("bind", "tmpfs", "volume")

F = TypeVar("F", bound=Callable[..., Any])
Flags = dict[str, Any]


def _text(*names: str, help: str, metavar: str = "TEXT") -> Any:  # noqa: A002 - click's own word
    return click.option(*names, metavar=metavar, help=help)


def _many(*names: str, help: str, metavar: str) -> Any:  # noqa: A002 - click's own word
    return click.option(*names, multiple=True, metavar=metavar, help=help)


def _network_modes(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    modes = ("none", "host", "default")
    return [CompletionItem(mode) for mode in modes if mode.startswith(incomplete)]


# In the order that --help shows them.
_OPTIONS = (
    flag("-i", "--interactive", help="Send standard input: a cell's body, or what is piped in."),
    flag("-t", "--tty", help="Give the container a terminal."),
    flag("--rm", "auto_remove", help="Remove the container when it ends."),
    _text("--name", help="Name the container.", metavar="NAME"),
    _many("-e", "--env", metavar="NAME=VALUE", help="Set an environment variable."),
    _many("--env-file", metavar="FILE", help="Set the environment variables in a file."),
    _text("-w", "--workdir", help="Work in this folder.", metavar="PATH"),
    _text("-u", "--user", help="Run as this user.", metavar="USER[:GROUP]"),
    _text("--entrypoint", help="Run this instead of the image's entrypoint.", metavar="PROGRAM"),
    _text("-h", "--hostname", help="Name the machine that the container sees.", metavar="NAME"),
    _text("--domainname", help="Give it a domain.", metavar="NAME"),
    _text("-m", "--memory", help="Limit memory: 64m, 1g.", metavar="SIZE"),
    _text("--memory-swap", help="Limit memory and swap together; -1 is no limit.", metavar="SIZE"),
    _text("--memory-reservation", help="Set the soft limit of memory.", metavar="SIZE"),
    click.option("--cpus", type=float, metavar="NUMBER", help="Limit to this many CPUs."),
    click.option("-c", "--cpu-shares", type=int, metavar="WEIGHT", help="Weigh CPU time (1024)."),
    click.option("--cpu-period", type=int, metavar="MICROSECONDS", help="Set the CFS period."),
    click.option("--cpu-quota", type=int, metavar="MICROSECONDS", help="Set the CFS quota."),
    _text("--cpuset-cpus", help="Use only these CPUs: 0-2,4.", metavar="LIST"),
    click.option("--pids-limit", type=int, metavar="NUMBER", help="Limit processes."),
    click.option(
        *("--network", "--net", "network"),
        metavar="NAME",
        help="none, host, default or a name.",
        shell_complete=_network_modes,
    ),
    _many("-p", "--publish", metavar="HOST:CONTAINER", help="Publish a port."),
    flag("-P", "--publish-all", help="Publish every exposed port."),
    _many("--expose", metavar="PORT", help="Expose a port."),
    _many("--dns", metavar="ADDRESS", help="Ask this DNS server."),
    _many("--add-host", metavar="NAME:ADDRESS", help="Add a line to /etc/hosts."),
    _many("-v", "--volume", metavar="FOLDER:TARGET", help="Mount a folder of the host."),
    _many("--mount", metavar="KEY=VALUE,...", help="Mount: type=bind,source=...,target=..."),
    _many("--tmpfs", metavar="PATH[:OPTIONS]", help="Mount a tmpfs."),
    _text("--shm-size", help="Size of /dev/shm.", metavar="SIZE"),
    flag("--read-only", help="Make the root file system read-only."),
    _many("--cap-add", metavar="CAPABILITY", help="Add a capability."),
    _many("--cap-drop", metavar="CAPABILITY", help="Drop a capability."),
    _many("--security-opt", metavar="OPTION", help="no-new-privileges, seccomp=..."),
    flag("--privileged", help="Give all capabilities and devices."),
    _many("--device", metavar="PATH", help="Give a device."),
    _many("--group-add", metavar="GROUP", help="Add a supplementary group."),
    _many("--ulimit", metavar="NAME=SOFT[:HARD]", help="Set a resource limit."),
    _many("--sysctl", metavar="NAME=VALUE", help="Set a kernel parameter of its namespaces."),
    _text("--pid", help="Share a pid namespace: host.", metavar="MODE"),
    _text("--ipc", help="Share an ipc namespace: host, or none for no /dev/shm.", metavar="MODE"),
    _text("--uts", help="Share a uts namespace: host.", metavar="MODE"),
    _text("--cgroupns", help="Share a cgroup namespace: host.", metavar="MODE"),
    flag("--init", help="Run an init that forwards signals and reaps."),
    flag("--oom-kill-disable", help="Never kill it for memory."),
    _text("--restart", help="no, on-failure[:N], always, unless-stopped.", metavar="POLICY"),
    _text("--stop-signal", help="The signal that stops it.", metavar="SIGNAL"),
    click.option("--stop-timeout", type=int, metavar="SECONDS", help="Kill it this long after."),
    _many("-l", "--label", metavar="NAME=VALUE", help="Label the container."),
    _text("--log-driver", help="How to keep its log.", metavar="DRIVER"),
    _many("--log-opt", metavar="NAME=VALUE", help="An option of the log driver."),
    flag("--no-healthcheck", help="Never run the image's health check."),
    _text("--platform", help="The platform of the image: linux/arm64.", metavar="OS/ARCH"),
    click.option(
        "--pull",
        type=click.Choice(["missing", "always", "never"]),
        default="missing",
        help="When to pull the image.",
    ),
    flag("-q", "--quiet", help="Show no progress of a pull."),
    _text("--cidfile", help="Write the container's id to this file.", metavar="FILE"),
)

_SAME_NAME = (
    *("cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "pids_limit"),
    *("read_only", "privileged", "oom_kill_disable"),
)
_SAME_NAME_LISTS = ("cap_add", "cap_drop", "group_add", "dns")


def container_options(function: F) -> F:
    """Declare the flags that `run` and `create` share."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def config_of(flags: Flags, image: str, command: tuple[str, ...]) -> Flags:
    """Return the keywords of docker-py's `create_container_config` for these flags."""
    targets, _ = _volumes(flags["volume"])
    exposed = [*_port_bindings(flags["publish"]), *flags["expose"]]
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
        "labels": _pairs(flags["label"]),
        "stop_signal": flags["stop_signal"],
        "stop_timeout": flags["stop_timeout"],
        "healthcheck": {"test": ["NONE"]} if flags["no_healthcheck"] else None,
        "ports": [tuple(port.split("/")) if "/" in port else port for port in exposed] or None,
        "volumes": targets or None,
    }


def host_config_of(flags: Flags) -> Flags:
    """Return the keywords of docker-py's `create_host_config` for these flags."""
    _, binds = _volumes(flags["volume"])
    given = {
        "auto_remove": flags["auto_remove"],
        "mem_limit": _size(flags, "memory"),
        "memswap_limit": -1 if flags["memory_swap"] == "-1" else _size(flags, "memory_swap"),
        "mem_reservation": _size(flags, "memory_reservation"),
        "shm_size": _size(flags, "shm_size"),
        "nano_cpus": None if flags["cpus"] is None else round(flags["cpus"] * 1e9),
        "network_mode": flags["network"],
        "port_bindings": _port_bindings(flags["publish"]),
        "publish_all_ports": flags["publish_all"],
        "extra_hosts": dict(_split(text, ":", "--add-host") for text in flags["add_host"]),
        "binds": binds,
        "mounts": [_mount(text) for text in flags["mount"]],
        "tmpfs": {path: options for path, _, options in _partitioned(flags["tmpfs"], ":")},
        "security_opt": list(flags["security_opt"]),
        "devices": [text if ":" in text else f"{text}:{text}:rwm" for text in flags["device"]],
        "ulimits": [_ulimit(text) for text in flags["ulimit"]],
        "sysctls": _pairs(flags["sysctl"]),
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


def _size(flags: Flags, name: str) -> int | None:
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


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in _partitioned(texts, "=")}


def _split(text: str, separator: str, option: str) -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not (left and found and right):
        raise Usage(f"{option} {text!r}: write it with a {separator!r}")
    return left, right


def _port_bindings(publish: tuple[str, ...]) -> dict[str, Any]:
    from docker.utils.ports import build_port_bindings

    try:
        return build_port_bindings(list(publish)) if publish else {}
    except ValueError as error:
        raise Usage(f"--publish {' '.join(publish)!r}: {error}") from error


def _volumes(volumes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the anonymous volumes' targets, and the binds with their sources made absolute."""
    targets, binds = [], []
    for text in volumes:
        source, colon, rest = text.partition(":")
        if not colon:
            targets.append(source)
        elif source.startswith((".", "~")):
            binds.append(f"{Path(source).expanduser().absolute()}:{rest}")
        else:
            binds.append(text)
    return targets, binds


def _mount(text: str) -> Any:
    from docker.types import Mount

    fields: dict[str, str] = {k: v for k, _, v in _partitioned(text.split(","), "=")}
    target = fields.get("target") or fields.get("dst") or fields.get("destination")
    if not target:
        raise Usage(f"--mount {text!r}: it has no target=PATH")
    source = fields.get("source") or fields.get("src")
    read_only = bool({"readonly", "ro"} & fields.keys())
    kind: Any = fields.get("type", "volume")
    if kind not in _MOUNTS:
        raise Usage(f"--mount {text!r}: its type is one of {', '.join(_MOUNTS)}")
    if kind == "bind" and not source:
        raise Usage(f"--mount {text!r}: it has no source=PATH")
    return Mount(target, source, type=kind, read_only=read_only)


def _ulimit(text: str) -> Any:
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

    return LogConfig(type=flags["log_driver"] or "", config=_pairs(flags["log_opt"]))
