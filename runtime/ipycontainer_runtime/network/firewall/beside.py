"""Beside other firewalls: where one drops what is forwarded, our bridges are let through.

Its decisions are its own, so this is done at the place that it has for it, and no further: what
goes from or to a bridge of Docker's is left to Docker. What is let through was already looked at by
our own rules, and whatever is put here is taken away again.

- Docker sets FORWARD's policy to DROP and asks DOCKER-USER first, which it never empties.
- ufw, and whoever else sets that policy with iptables, is asked at FORWARD's head.
- firewalld lets a zone through; `trusted` is its zone for what others guard.
"""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.place import Place

_TRUST = ("firewall-cmd", "-q", "--zone=trusted")
_DOCKER = "DOCKER-USER"
_INTERFACE = re.compile(r" -[io] ([^\s+]+)")
_LEGACY = {"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"}  # of /proc/net
_FAMILIES = {"iptables": ("ip", 4), "ip6tables": ("ip6", 6)}


def admit(place: Place, chain: str, bridges: Sequence[Bridge]) -> None:
    """Have others let these bridges through, and no others that had the chain's name.

    Raises Unavailable when one refuses.
    """
    tables = _tables(place)
    for program, (family, version) in _FAMILIES.items():
        concerned = [b.device for b in bridges if b.of(version)]
        if f"table {family} filter" in tables or _is_legacy(place, program):
            _through_iptables(place, program, chain, concerned)
    if "table inet firewalld" in tables:
        _through_firewalld(place, [bridge.device for bridge in bridges])


def found(place: Place) -> list[str]:
    """Return the names of the firewalls that would have to let bridges through; changes nothing."""
    tables = _tables(place)
    names = {"firewalld"} if "table inet firewalld" in tables else set()
    for program, (family, _version) in _FAMILIES.items():
        if f"table {family} filter" in tables or _is_legacy(place, program):
            rules = place.run([program, "-w", "-S"]).splitlines()
            if parent := _parent(rules):
                names.add(_name(rules, parent))
    return sorted(names)


def withdraw(place: Place, chain: str, bridges: Sequence[Bridge]) -> None:
    """Take away all that `admit` put anywhere."""
    admit(place, chain, ())
    if "table inet firewalld" in _tables(place):
        for bridge in bridges:
            with contextlib.suppress(Unavailable):  # it was reloaded, and has forgotten
                place.run(
                    ["firewall-cmd", "-q", "--zone=trusted", f"--remove-interface={bridge.device}"]
                )


def _tables(place: Place) -> list[str]:
    try:
        return place.run(["nft", "list", "tables"]).splitlines()
    except Unavailable:
        return []  # no nft: then no firewalld of ours to speak with, and iptables is the old one


def _is_legacy(place: Place, program: str) -> bool:
    """Tell whether the kernel's older tables are in use, of which nft knows nothing."""

    def names() -> str:
        try:
            return Path("/proc/self/net", _LEGACY[program]).read_text()
        except OSError:
            return ""

    return "filter" in within(place.netns, names).split()


def _through_iptables(place: Place, program: str, chain: str, devices: Sequence[str]) -> None:
    try:
        rules = place.run([program, "-w", "-S"]).splitlines()
    except Unavailable:
        if not devices:
            return
        raise
    parent = _parent(rules) if devices else ""
    wanted = _accepting(chain, devices, _dockers(rules, devices)) if parent else []
    lines = _changes(rules, chain, parent, wanted)
    if lines:
        place.run(
            [f"{program}-restore", "-w", "--noflush"], "\n".join(("*filter", *lines, "COMMIT", ""))
        )


def _parent(rules: Sequence[str]) -> str:
    """Return the chain from which ours is asked; empty where nobody drops what is forwarded."""
    if f"-N {_DOCKER}" in rules:
        return _DOCKER
    return "FORWARD" if "-P FORWARD DROP" in rules else ""


def _name(rules: Sequence[str], parent: str) -> str:
    if parent == _DOCKER:
        return "Docker"
    return "ufw" if any(rule.startswith("-N ufw-") for rule in rules) else "iptables"


def _dockers(rules: Sequence[str], but: Sequence[str]) -> list[str]:
    """Return the bridges of Docker's, by the rules that it has for each."""
    of_docker = [rule for rule in rules if re.search(r"(^-A| -j) DOCKER", rule)]
    found = {name for rule in of_docker for name in _INTERFACE.findall(rule)}
    return sorted(found - set(but))


def _accepting(chain: str, devices: Sequence[str], dockers: Sequence[str]) -> list[str]:
    replies = "-m conntrack --ctstate RELATED,ESTABLISHED"
    return [
        *(f"-A {chain} -o {device} {replies} -j ACCEPT" for device in devices),
        *(f"-A {chain} -{way} {docker} -j RETURN" for docker in dockers for way in "io"),
        *(f"-A {chain} -{way} {device} -j ACCEPT" for device in devices for way in "io"),
    ]


def _changes(rules: Sequence[str], chain: str, parent: str, wanted: Sequence[str]) -> list[str]:
    """Return what iptables-restore must do; nothing where all is as it should be."""
    jumps = [rule for rule in rules if rule.endswith(f" -j {chain}")]
    there = [rule for rule in rules if rule.startswith(f"-A {chain} ")]
    jump = f"-A {parent} -j {chain}"
    if there == list(wanted) and jumps == ([jump] if parent else []):
        return [] if parent or f"-N {chain}" not in rules else [f"-X {chain}"]
    gone = [f"-D {rule.removeprefix('-A ')}" for rule in jumps]
    if not parent:
        return [*gone, f"-F {chain}", f"-X {chain}"] if f"-N {chain}" in rules else []
    return [f":{chain} - [0:0]", *gone, *wanted, f"-I {parent} 1 -j {chain}"]


def _through_firewalld(place: Place, devices: Sequence[str]) -> None:
    """Put these into its zone, unless its rules say that they are.

    It takes a third of a second to ask firewalld itself.
    """
    rules = place.run(["nft", "list", "table", "inet", "firewalld"])
    for device in devices:
        if not re.search(rf'"{re.escape(device)}" (goto|jump) filter_FWD_trusted', rules):
            place.run([*_TRUST, f"--change-interface={device}"])
