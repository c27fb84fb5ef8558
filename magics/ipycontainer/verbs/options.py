"""The flags of `run` and `create`. Names and forms are Docker's; `settings` reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .base import completed, flag, network_names
from .preferred import profile_option

F = TypeVar("F", bound=Callable[..., Any])
Flags = dict[str, Any]


def _text(*names: str, help: str, metavar: str = "TEXT") -> Any:  # noqa: A002 - click's own word
    return click.option(*names, metavar=metavar, help=help)


def _many(*names: str, help: str, metavar: str) -> Any:  # noqa: A002 - click's own word
    return click.option(*names, multiple=True, metavar=metavar, help=help)


_LIMITS = (
    _text("-m", "--memory", help="Limit memory: 64m, 1g.", metavar="SIZE"),
    _text("--memory-swap", help="Limit memory and swap together; -1 is no limit.", metavar="SIZE"),
    _text("--memory-reservation", help="Set the soft limit of memory.", metavar="SIZE"),
    click.option("--cpus", type=float, metavar="NUMBER", help="Limit to this many CPUs."),
    click.option("-c", "--cpu-shares", type=int, metavar="WEIGHT", help="Weigh CPU time (1024)."),
    click.option("--cpu-period", type=int, metavar="MICROSECONDS", help="Set the CFS period."),
    click.option("--cpu-quota", type=int, metavar="MICROSECONDS", help="Set the CFS quota."),
    _text("--cpuset-cpus", help="Use only these CPUs: 0-2,4.", metavar="LIST"),
    _text("--cpuset-mems", help="Use only memory of these nodes: 0,1.", metavar="LIST"),
    click.option("--pids-limit", type=int, metavar="NUMBER", help="Limit processes; -1: do not."),
    click.option("--blkio-weight", type=int, metavar="WEIGHT", help="Weigh disk time, 10 to 1000."),
)
ADDRESSES = (
    _text("--ip", help="Its IPv4 address in the network.", metavar="ADDRESS"),
    _text("--ip6", help="Its IPv6 address in the network.", metavar="ADDRESS"),
    _many("--link", metavar="CONTAINER[:ALIAS]", help="Let it know another one by this name."),
    _many("--link-local-ip", metavar="ADDRESS", help="A link-local address for it."),
)
_RESTART = _text("--restart", help="no, on-failure[:N], always, unless-stopped.", metavar="POLICY")

# In the order that --help shows them.
_OPTIONS = (
    flag("-i", "--interactive", help="Send standard input: a cell's body, or what is piped in."),
    flag("-t", "--tty", help="Give the container a terminal; with -i the cell shows one."),
    flag("--rm", "auto_remove", help="Remove the container when it ends."),
    _text("--name", help="Name the container.", metavar="NAME"),
    _many("-e", "--env", metavar="NAME=VALUE", help="Set an environment variable."),
    _many("--env-file", metavar="FILE", help="Set the environment variables in a file."),
    _text("-w", "--workdir", help="Work in this folder.", metavar="PATH"),
    _text("-u", "--user", help="Run as this user.", metavar="USER[:GROUP]"),
    _text("--entrypoint", help="Run this instead of the image's entrypoint.", metavar="PROGRAM"),
    _text("-h", "--hostname", help="Name the machine that the container sees.", metavar="NAME"),
    _text("--domainname", help="Give it a domain.", metavar="NAME"),
    *_LIMITS,
    click.option(
        *("--network", "--net", "network"),
        multiple=True,
        metavar="NAME",
        help="none, host, default, container:NAME, a network, or name=NETWORK,alias=...,ip=...",
        shell_complete=completed(network_names, always=("none", "host", "default")),
    ),
    _many("--network-alias", "--net-alias", metavar="NAME", help="Another name for it there."),
    *ADDRESSES,
    _text("--mac-address", help="Its MAC address.", metavar="ADDRESS"),
    _many("-p", "--publish", metavar="HOST:CONTAINER", help="Publish a port: 8080:80."),
    flag("-P", "--publish-all", help="Publish every exposed port."),
    _many("--expose", metavar="PORT", help="Expose a port."),
    _many("--dns", metavar="ADDRESS", help="Ask this DNS server."),
    _many("--dns-search", metavar="DOMAIN", help="Look for short names in this domain."),
    _many("--dns-option", "--dns-opt", metavar="OPTION", help="Set an option of resolv.conf."),
    _many(
        "--add-host",
        metavar="NAME:ADDRESS",
        help="Add a line to /etc/hosts; host-gateway is this machine's address.",
    ),
    _many(
        *("-v", "--volume"),
        metavar="[SOURCE:]TARGET[:OPTIONS]",
        help="Mount a volume or a folder of the host; options are ro, z, nocopy and the like.",
    ),
    _many(
        "--mount",
        metavar="KEY=VALUE,...",
        help="Mount: type=bind|volume|tmpfs|image,source=...,target=...,readonly, and more.",
    ),
    _many("--volumes-from", metavar="CONTAINER[:ro]", help="Mount what another container mounts."),
    _text("--volume-driver", help="The driver of the volumes that are made.", metavar="NAME"),
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
    _text("--userns", help="auto: ids of its own on the machine; host: none.", metavar="MODE"),
    flag("--init", help="Run an init that passes signals on and reaps."),
    flag("--oom-kill-disable", help="Never kill it for memory."),
    _RESTART,
    _text("--stop-signal", help="The signal that stops it.", metavar="SIGNAL"),
    click.option("--stop-timeout", type=int, metavar="SECONDS", help="Kill it this long after."),
    _many("-l", "--label", metavar="NAME=VALUE", help="Label the container."),
    _text("--log-driver", help="How to keep its log.", metavar="DRIVER"),
    _many("--log-opt", metavar="NAME=VALUE", help="An option of the log driver."),
    _text("--health-cmd", help="See by this command whether it is healthy.", metavar="COMMAND"),
    _text("--health-interval", help="Look this often: 30s, 1m30s.", metavar="DURATION"),
    _text("--health-timeout", help="Give a check this long.", metavar="DURATION"),
    _text("--health-start-period", help="Forgive failures this long.", metavar="DURATION"),
    _text("--health-start-interval", help="Look this often until then.", metavar="DURATION"),
    click.option("--health-retries", type=int, metavar="NUMBER", help="Unhealthy after so many."),
    flag("--no-healthcheck", help="Never run the image's health check."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Stop it when it has run this long.",
    ),
    flag("--require-limits", help="Refuse limits that this machine cannot set."),
    flag("--explain", help="Tell afterwards what was done, and how long each step took."),
    _many("--annotation", metavar="NAME=VALUE", help="Annotate the container."),
    _text("--platform", help="The platform of the image: linux/arm64.", metavar="OS/ARCH"),
    click.option(
        "--pull",
        type=click.Choice(["missing", "always", "never"]),
        default="missing",
        help="When to pull the image.",
    ),
    flag("-q", "--quiet", help="Show no progress of a pull."),
    profile_option,
    _text("--cidfile", help="Write the container's id to this file.", metavar="FILE"),
)


def container_options(function: F) -> F:
    """Declare the flags that `run` and `create` share."""
    made: F = declared(_OPTIONS)(function)
    return made


def update_options(function: F) -> F:
    """Declare the flags of what can be changed later."""
    made: F = declared((*_LIMITS, _RESTART))(function)
    return made


def declared(options: Sequence[Any]) -> Callable[[F], F]:
    """Declare several flags, in the order that --help shows them."""

    def declare(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return declare
