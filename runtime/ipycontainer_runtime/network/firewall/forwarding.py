"""The kernel's switches that bridges need, in the namespace where they stand.

Like Docker's engine, this one switches forwarding on for the whole namespace. Where it was off, the
machine would be a router for its neighbours from then on: the firewall keeps the devices that there
were from forwarding to each other (`Before.outer`), and the switch goes back when the last bridge
that needs it goes, unless somebody else has made devices meanwhile, who may count on it. So for
IPv4, and for IPv6 with the first network that has it.
"""

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux import netlink
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.rules import Before
from ipycontainer_runtime.network.place import Place

_SETTINGS = Path("/proc/sys/net")
_FILTERED = ("bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables")
_FORWARDING = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


class Switched(NamedTuple):
    """What came of switching on."""

    loopback: bool
    """Whether every bridge takes replies to 127.0.0.0/8, so that its ports can be led there."""
    before: Before
    """What the machine was like before; nothing of what could not be switched on."""
    lack: str = ""
    """What could not be switched on, with the cure."""


def foreseen(place: Place, bridges: Sequence[Bridge], before: Before) -> Before:
    """Return `before`, and what will be other than before once these bridges' needs are met."""
    return within(place.netns, lambda: _foreseen(bridges, before))


def switch_on(place: Place, bridges: Sequence[Bridge], before: Before) -> Switched:
    """Switch on what these bridges need; `before` is what was foreseen."""
    return within(place.netns, lambda: _switch_on(bridges, before, alone=place.alone))


def switch_off(
    place: Place, before: Before, bridges: Sequence[Bridge], ours: Collection[str]
) -> Before:
    """Switch off what was off before, is needed by none of these bridges, and by no new device.

    `ours` are the names of all bridges that are, or were, the engine's. Return what stays on.
    """
    return within(place.netns, lambda: _switch_off(before, bridges, ours))


def _foreseen(bridges: Sequence[Bridge], before: Before) -> Before:
    versions = _to_switch(bridges)
    devices = _devices({bridge.device for bridge in bridges})
    told = {*before.told, *(device for device in devices if 6 in versions and _is_told(device))}
    return Before({**before.outer, **dict.fromkeys(versions, devices)}, sorted(told))


def _to_switch(bridges: Sequence[Bridge]) -> list[int]:
    """Return the versions of IP that these bridges need forwarded, where that is off."""
    return [
        version
        for version, setting in _FORWARDING.items()
        if _needed(version, bridges) and _off(setting)
    ]


def _needed(version: int, bridges: Sequence[Bridge]) -> bool:
    return any(b.of(version) and not b.internal for b in bridges)


def _switch_off(before: Before, bridges: Sequence[Bridge], ours: Collection[str]) -> Before:
    outer, told = dict(before.outer), before.told
    for version, devices in before.outer.items():
        if not devices or _needed(version, bridges) or {*_devices(ours)} - {*devices}:
            continue
        _write(_FORWARDING[version], "0")
        del outer[version]
        if version == 6:
            _tell_less(told)
            told = ()
    return Before(outer, told)


def _switch_on(bridges: Sequence[Bridge], before: Before, *, alone: bool) -> Switched:
    outer, told = dict(before.outer), before.told
    if alone:
        _leave_bridges_alone()
    lacks = []
    for version in _to_switch(bridges):
        outer.setdefault(version, _devices({bridge.device for bridge in bridges}))
        try:
            if version == 6:
                _keep_told(told)
            _write(_FORWARDING[version], "1")
        except Unavailable as error:
            lacks.append(f"containers reach nothing outside by IPv{version}: {error}")
            del outer[version]
    loopback = all([_takes_loopback(b.device) for b in bridges])  # noqa: C419 - for every bridge
    return Switched(loopback, Before(outer, told), "; ".join(lacks))


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


def _keep_told(devices: Sequence[str]) -> None:
    """Have these go on taking routers' word: a kernel that forwards takes it only where this is 2.

    See accept_ra in the kernel's Documentation/networking/ip-sysctl.rst.
    """
    for device in devices:
        if _is_told(device):
            _write(_accepting(device), "2")


def _tell_less(devices: Sequence[str]) -> None:
    """Put back what `_keep_told` found, where nobody has changed it since."""
    for device in devices:
        if _read(_accepting(device)) == "2":
            _write(_accepting(device), "1")


def _is_told(device: str) -> bool:
    return _read(_accepting(device)) == "1"


def _accepting(device: str) -> str:
    return f"ipv6/conf/{device}/accept_ra"


def _devices(bridges: Collection[str]) -> list[str]:
    """Return the devices that are none of these bridges, nor a port of theirs."""
    with netlink.opened() as kernel:
        links = kernel.links()
    ours = {link.number for link in links if link.name in bridges}
    return [
        link.name for link in links if link.name != "lo" and not ours & {link.number, link.master}
    ]


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
