"""The kernel's switches that bridges need, in the namespace where they stand.

Like Docker's engine, this one switches forwarding on for the whole namespace. Where it was off, the
machine would be a router for its neighbours from then on: the firewall keeps the devices that there
were from forwarding to each other (`Switched.outer`), and the switch goes back when the last bridge
goes, unless somebody else has made devices meanwhile, who may count on it. So for IPv4, and for
IPv6 with the first network that has it.
"""

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.rules import Outer
from ipycontainer_runtime.network.place import Place

_SETTINGS = Path("/proc/sys/net")
_FILTERED = ("bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables")
_FORWARDING = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


class Switched(NamedTuple):
    """What came of switching on."""

    loopback: bool
    """Whether every bridge takes replies to 127.0.0.0/8, so that its ports can be led there."""
    outer: Outer
    """Devices between which nothing was forwarded before; none where something was."""
    lack: str = ""
    """What could not be switched on, with the cure."""


def foreseen(place: Place, bridges: Sequence[Bridge], outer: Outer) -> Outer:
    """Return the outer devices of what these bridges will have switched on, and `outer`."""
    return within(place.netns, lambda: _foreseen(bridges, outer))


def switch_on(place: Place, bridges: Sequence[Bridge], outer: Outer) -> Switched:
    """Switch on what these bridges need; `outer` is what was foreseen."""
    return within(place.netns, lambda: _switch_on(bridges, dict(outer), alone=place.alone))


def switch_off(place: Place, outer: Outer, bridges: Sequence[str]) -> None:
    """Switch forwarding off again, if it was off and the devices are those of then."""

    def switch() -> None:
        for version, devices in outer.items():
            if devices and not set(_names()) - {*devices, *bridges, "lo"}:
                _write(_FORWARDING[version], "0")

    within(place.netns, switch)


def _foreseen(bridges: Sequence[Bridge], outer: Outer) -> Outer:
    before = _devices(bridges)
    return {**outer, **dict.fromkeys(_to_switch(bridges), before)}


def _to_switch(bridges: Sequence[Bridge]) -> list[int]:
    """Return the versions of IP that these bridges need forwarded, where that is off."""
    return [
        version
        for version, setting in _FORWARDING.items()
        if any(b.of(version) and not b.internal for b in bridges) and _off(setting)
    ]


def _switch_on(
    bridges: Sequence[Bridge], outer: dict[int, Sequence[str]], *, alone: bool
) -> Switched:
    if alone:
        _leave_bridges_alone()
    lacks = []
    for version in _to_switch(bridges):
        before = outer.setdefault(version, _devices(bridges))
        try:
            if version == 6:
                _keep_routes_told(before)
            _write(_FORWARDING[version], "1")
        except Unavailable as error:
            lacks.append(f"containers reach nothing outside by IPv{version}: {error}")
            del outer[version]
    loopback = all([_takes_loopback(b.device) for b in bridges])  # noqa: C419 - for every bridge
    return Switched(loopback, outer, "; ".join(lacks))


def _leave_bridges_alone() -> None:
    """Keep what stays on a bridge from rules for what is routed, where br_netfilter is loaded.

    Where that may not be set, only a container that asks itself by its published port is not heard.
    """
    with contextlib.suppress(Unavailable):
        for setting in _FILTERED:
            if _read(setting) == "1":
                _write(setting, "0")


def _takes_loopback(device: str) -> bool:
    try:
        _write(f"ipv4/conf/{device}/route_localnet", "1")
    except Unavailable:
        return False
    return True


def _keep_routes_told(devices: Sequence[str]) -> None:
    """Have these go on taking routers' word: a kernel that forwards takes it only where this is 2.

    See accept_ra in the kernel's Documentation/networking/ip-sysctl.rst.
    """
    for device in devices:
        setting = f"ipv6/conf/{device}/accept_ra"
        if _read(setting) == "1":
            _write(setting, "2")


def _devices(bridges: Sequence[Bridge]) -> list[str]:
    ours = {bridge.device for bridge in bridges}
    return [name for name in _names() if name != "lo" and name not in ours]


def _names() -> list[str]:
    return [name for _index, name in socket.if_nameindex()]


def _off(setting: str) -> bool:
    return _read(setting) == "0"


def _read(setting: str) -> str:
    try:
        return (_SETTINGS / setting).read_text().strip()
    except OSError:
        return ""  # no IPv6, or a device that has just gone


def _write(setting: str, value: str) -> None:
    path = _SETTINGS / setting
    try:
        path.write_text(value)
    except OSError as error:
        name = "net." + setting.replace("/", ".")
        raise Unavailable(
            f"cannot set {name}: {error.strerror}; set it on the machine: `sysctl {name}={value}`"
        ) from error
