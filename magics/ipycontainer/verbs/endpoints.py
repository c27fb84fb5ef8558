"""A container's places in networks: `--network` and its kin, and those of `network connect`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from ..failures import Usage
from .options import Flags

# https://docs.docker.com/reference/cli/docker/container/run/#network
_KEYS = {
    "name": "",
    "alias": "--network-alias",
    "driver-opt": "",
    "gw-priority": "",
    "ip": "--ip",
    "ip6": "--ip6",
    "link-local-ip": "--link-local-ip",
    "mac-address": "--mac-address",
}
_MANY = ("alias", "driver-opt", "link-local-ip")
_BUILT_IN = ("", "default", "bridge", "host", "none")

Settings = dict[str, Any]


def network_mode(flags: Flags) -> str | None:
    """Return `HostConfig.NetworkMode`: the first network that was asked for."""
    return next((fields["name"][0] for fields in map(_fields, flags["network"])), None)


def networking_of(flags: Flags) -> Settings:
    """Return the part of the request to make a container that is about its places in networks.

    Raises `Usage` for what does not go together, as the `docker` command does.
    """
    found = _endpoints(flags)
    if not found:
        return {}
    # Engines before API 1.44 know one address for the container, not one for each network.
    address = next(iter(found.values())).get("MacAddress")
    return {
        "NetworkingConfig": {"EndpointsConfig": found},
        **({"MacAddress": address} if address else {}),
    }


def _endpoints(flags: Flags) -> dict[str, Settings]:
    asked = [_fields(text) for text in flags["network"]]
    own = _own_fields(flags)
    if own and not asked:
        asked = [{"name": ["default"]}]
    names = [fields["name"][0] for fields in asked]
    _check_names(names)
    found = {}
    for at, fields in enumerate(asked):
        if at == 0:
            fields = _joined(fields, own)
        links = flags["link"] if at == 0 and is_user_defined(names[0]) else ()
        if made := settings(fields, links):
            found[names[at]] = made
        elif len(names) > 1:
            found[names[at]] = {}
    return found


def container_links(flags: Flags) -> list[str]:
    """Return `HostConfig.Links`: on the default bridge they are the container's own."""
    return [] if is_user_defined(network_mode(flags) or "") else list(flags["link"])


def is_user_defined(name: str) -> bool:
    """Tell whether a network mode names a network that a person made."""
    return name not in _BUILT_IN and not name.startswith("container:")


def settings(fields: Mapping[str, Sequence[str]], links: Sequence[str] = ()) -> Settings:
    """Return one `EndpointSettings`, with what was asked for alone."""

    def one(key: str) -> str:
        return next(iter(fields.get(key, ())), "")

    addresses = {
        "IPv4Address": one("ip"),
        "IPv6Address": one("ip6"),
        "LinkLocalIPs": list(fields.get("link-local-ip", ())),
    }
    options = dict(text.partition("=")[::2] for text in fields.get("driver-opt", ()))
    made = {
        "IPAMConfig": {name: value for name, value in addresses.items() if value},
        "Aliases": list(fields.get("alias", ())),
        "Links": list(links),
        "MacAddress": one("mac-address"),
        "DriverOpts": options,
        "GwPriority": _priority(one("gw-priority")),
    }
    return {name: value for name, value in made.items() if value}


def _own_fields(flags: Flags) -> dict[str, list[str]]:
    given = {
        "alias": list(flags["network_alias"]),
        "link-local-ip": list(flags["link_local_ip"]),
        "ip": [flags["ip"]],
        "ip6": [flags["ip6"]],
        "mac-address": [flags["mac_address"]],
    }
    return {key: values for key, values in given.items() if values and values[0] is not None}


def _joined(fields: dict[str, list[str]], own: dict[str, list[str]]) -> dict[str, list[str]]:
    for key in own:
        if key in fields:
            raise Usage(f"{_KEYS[key]} and --network name=…,{key}=… say the same: leave one out")
    return {**fields, **own}


def _fields(text: str) -> dict[str, list[str]]:
    """Return the fields of `--network`, which is a name or `name=…,alias=…` as a line of CSV."""
    if "=" not in text:
        return {"name": [text]}
    try:
        [given] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise Usage(f"--network {text!r}: write name=NETWORK,KEY=VALUE,…") from error
    found: dict[str, list[str]] = {}
    for field in given:
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals or key not in _KEYS:
            raise Usage(f"--network {text!r}: {field!r} is not one of {'=, '.join(_KEYS)}=")
        if key in found and key not in _MANY:
            raise Usage(f"--network {text!r}: {key}= stands there twice")
        found.setdefault(key, []).append(value.strip())
    if not found.get("name", [""])[0]:
        raise Usage(f"--network {text!r}: it has no name=NETWORK")
    return found


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Usage(f"--network {name}: network {name!r} is specified multiple times")
    if len(names) > 1 and not all(map(is_user_defined, names)):
        raise Usage(
            f"--network {' '.join(names)}: cannot attach both user-defined and non-user-defined "
            "network-modes: leave out none, host, bridge or container:…"
        )


def _priority(text: str) -> int:
    try:
        return int(text or 0)
    except ValueError as error:
        raise Usage(f"--network gw-priority={text}: write a whole number") from error
