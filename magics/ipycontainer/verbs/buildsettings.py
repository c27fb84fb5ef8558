"""The flags of `build` that go into the query of POST /build, and what they become there."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from ..failures import Usage
from ..scripted import Taken
from ..words import variable
from .base import InputValue, flag
from .settings import pairs, size, swap, ulimit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..session import Session
    from .options import Flags


def _many(*names: str, help: str, metavar: str) -> Any:  # noqa: A002 - click's own word
    return click.option(*names, multiple=True, metavar=metavar, help=help)


OPTIONS = (
    flag("--no-cache", help="Reuse no step of an earlier build."),
    flag("--pull", help="Ask the registry for a newer base image."),
    click.option("--platform", metavar="OS/ARCH", help="Build for this platform: linux/arm64."),
    _many("--label", metavar="NAME=VALUE", help="Label the image."),
    _many("--secret", metavar="id=NAME,src=FILE|env=VAR", help="A secret of RUN --mount."),
    _many("--ssh", metavar="NAME[=SOCKET]", help="An ssh agent for RUN --mount (default)."),
    _many("--cache-from", metavar="IMAGE", help="Reuse the steps of this image."),
    click.option(
        "--network", metavar="NAME", help="The network of RUN: none, host, default or a name."
    ),
    _many("--add-host", metavar="NAME:ADDRESS", help="Add a line to /etc/hosts."),
    click.option("-m", "--memory", metavar="SIZE", help="Limit the memory of RUN: 64m, 1g."),
    click.option("--memory-swap", metavar="SIZE", help="Limit memory and swap together."),
    click.option("-c", "--cpu-shares", type=int, metavar="WEIGHT", help="Weigh CPU time (1024)."),
    click.option("--cpu-period", type=int, metavar="MICROSECONDS", help="Set the CFS period."),
    click.option("--cpu-quota", type=int, metavar="MICROSECONDS", help="Set the CFS quota."),
    click.option("--cpuset-cpus", metavar="LIST", help="Use only these CPUs: 0-2,4."),
    click.option("--cpuset-mems", metavar="LIST", help="Use only memory of these nodes: 0,1."),
    click.option("--shm-size", metavar="SIZE", help="Size of /dev/shm."),
    _many("--ulimit", metavar="NAME=SOFT[:HARD]", help="Set a resource limit."),
    _many("-o", "--output", metavar="DEST", help="Refused: the image goes to the engine."),
)
BuildArgument = InputValue

_SAME = {
    "target": "target",
    "platform": "platform",
    "network": "networkmode",
    "cpu_shares": "cpushares",
    "cpu_period": "cpuperiod",
    "cpu_quota": "cpuquota",
    "cpuset_cpus": "cpusetcpus",
    "cpuset_mems": "cpusetmems",
}


def query(flags: Flags, arguments: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the parameters, in the API's words, without those of the context."""
    found: dict[str, Any] = {
        "version": "1",
        "rm": "1",
        "forcerm": "1",
        "t": list(flags["tag"]),
        "buildargs": json.dumps(arguments) if arguments else None,
        "labels": json.dumps(pairs(flags["label"])) if flags["label"] else None,
        "nocache": "1" if flags["no_cache"] else None,
        "pull": "1" if flags["pull"] else None,
        "extrahosts": [_host(text) for text in flags["add_host"]],
        "cachefrom": json.dumps(flags["cache_from"]) if flags["cache_from"] else None,
        "memory": size(flags, "memory"),
        "memswap": swap(flags),
        "shmsize": size(flags, "shm_size"),
        "ulimits": json.dumps([ulimit(text) for text in flags["ulimit"]])
        if flags["ulimit"]
        else None,
    }
    found |= {parameter: flags[name] for name, parameter in _SAME.items()}
    return {name: value for name, value in found.items() if value not in (None, [], "")}


def _host(text: str) -> str:
    """Return NAME:ADDRESS; `=` may stand between them too, as under Docker."""
    name, equals, address = text.partition("=")
    if not equals:
        name, _, address = text.partition(":")
    if not (name and address):
        raise Usage(f"--add-host {text!r}: write NAME:ADDRESS")
    return f"{name}:{address}"


def arguments_of(session: Session, texts: tuple[str, ...]) -> dict[str, str | None]:
    """Return the build arguments; NAME alone is the notebook's or else the environment's.

    In a notebook NAME={VARIABLE} is a variable. Raises `Usage` for what is no build argument.
    """
    names = session.shared().names if texts and session.shared else {}
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise Usage(f"--build-arg {text!r}: write NAME=VALUE, or NAME alone")
        if equals:
            ours = session.shared is not None and not isinstance(text, Taken)
            found[name] = variable(value, names) if ours else value
        elif isinstance(names.get(name), (str, int, float)):
            found[name] = str(names[name])
        else:
            found[name] = os.environ.get(name)
    return found
