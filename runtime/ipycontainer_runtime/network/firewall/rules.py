"""The table of nftables as text: pure, from what is wanted to what `nft -f` reads."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import NamedTuple

from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.ports import ANY, Ports
from ipycontainer_runtime.store.networks import Published


def leading(port: Published) -> str:
    """Return the element of a map, with the map's name, that leads this port."""
    version = ip_address(port.address).version
    target = f"{port.address} . {port.port}"
    if port.host_address == ANY[version]:
        return f"any{version} {{ {port.protocol} . {port.host_port} : {target} }}"
    at = f"{port.host_address} . {port.protocol} . {port.host_port}"
    return f"at{version} {{ {at} : {target} }}"


class Before(NamedTuple):
    """What the machine was like before the engine switched forwarding on; the rules keep it."""

    outer: Mapping[int, Sequence[str]] = MappingProxyType({})
    """Devices between which nothing was forwarded, of IPv4 (4) and of IPv6 (6)."""
    told: Sequence[str] = ()
    """Devices that took routers' word by an accept_ra of 1, and take it by 2 since."""


class Shape(NamedTuple):
    """What a ruleset goes by besides its bridges and ports."""

    loopback: bool = True
    """Whether the bridges take what comes back to 127.0.0.0/8, so that ports can be led there."""
    before: Before = Before()
    alone: bool = False
    """Whether the bridges stand where the engine is alone: nobody has them filtered there, and no
    socket of the helper waits for what is asked by a bridge's own containers."""


def near(ports: Iterable[Published], bridges: Sequence[Bridge]) -> set[tuple[str, str, int]]:
    """Return what is in `near`: which ports lead back to the bridge that a packet is from.

    Those go to the helper's socket, as to Docker's proxy: with bridge-nf-call-iptables the kernel
    would give such a packet to the bridge, which never sends it out by the port that it came from.
    """
    homes = [(ip_network(subnet), b.device) for b in bridges for subnet in b.subnets]
    found = set()
    for port in ports:
        address = ip_address(port.address)
        for network, device in homes:
            if address in network:
                found.add((device, port.protocol, port.host_port))
    return found


def ruleset(table: str, bridges: Sequence[Bridge], ports: Ports, shape: Shape) -> str:
    """Return the transaction that puts a table in the place of whatever had its name."""
    parts = [
        f"add table inet {table}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        _sets(bridges, ports, shape),
        _FORWARD,
        _early(bridges),
        _published(loopback=shape.loopback),
        _masquerade(bridges, shape),
        "}",
    ]
    return "\n".join(parts)


_FORWARD = """\
chain forward {
    type filter hook forward priority filter; policy accept;
    meta nfproto ipv4 iifname @outer4 oifname @outer4 drop
    meta nfproto ipv6 iifname @outer6 oifname @outer6 drop
    iifname @bridges jump leaving
    oifname @bridges jump entering
}
chain leaving {
    iifname . oifname @same return
    iifname @internal drop
    ct state invalid drop
}
chain entering {
    iifname . oifname @talking accept
    oifname @internal drop
    ct state established,related accept
    ct status dnat accept
    drop
}
chain input {
    type filter hook input priority filter; policy accept;
    iifname @internal jump visiting
}
chain visiting {
    ct state established,related return
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return
    drop
}
"""


def _sets(bridges: Sequence[Bridge], ports: Ports, shape: Shape) -> str:
    devices = [f'"{bridge.device}"' for bridge in bridges]
    own = [f'"{b.device}" . "{b.device}"' for b in bridges]
    talking = [f'"{b.device}" . "{b.device}"' for b in bridges if b.talking]
    internal = [f'"{bridge.device}"' for bridge in bridges if bridge.internal]
    lines = [
        _set("set bridges", "ifname", devices),
        _set("set internal", "ifname", internal),
        _set("set same", "ifname . ifname", own),
        _set("set talking", "ifname . ifname", talking),
        *(
            _set(
                f"set outer{version}",
                "ifname",
                [f'"{d}"' for d in shape.before.outer.get(version, ())],
            )
            for version in (4, 6)
        ),
        _set("set told", "ifname", [f'"{device}"' for device in shape.before.told]),
        _set(
            "set near",
            "ifname . inet_proto . inet_service",
            []
            if shape.alone
            else [f'"{d}" . {p} . {n}' for d, p, n in sorted(near(ports.values(), bridges))],
        ),
    ]
    elements: dict[str, list[str]] = {name: [] for name in ("any4", "at4", "any6", "at6")}
    for port in ports.values():
        name, _, element = leading(port).partition(" ")
        elements[name].append(element.strip("{ }"))
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        to = f"inet_proto . inet_service : {kind} . inet_service"
        lines.append(_set(f"map any{version}", to, elements[f"any{version}"]))
        lines.append(_set(f"map at{version}", f"{kind} . {to}", elements[f"at{version}"]))
    return "\n".join(lines)


def _set(name: str, kind: str, elements: Sequence[str]) -> str:
    held = f"elements = {{ {', '.join(elements)} }};" if elements else ""
    return f"{name} {{ type {kind}; {held} }}"


# Else a container's root could name himself the machine's router (CVE-2020-13401).
_NO_ROUTERS = "icmpv6 type { nd-router-advert, nd-redirect } drop"


def _early(bridges: Sequence[Bridge]) -> str:
    """Drop what no honest container sends, before anything else sees it.

    With route_localnet the bridge would take a packet to 127.0.0.1. Replies to the machine's own
    are addressed to the gateway here still: NAT comes later.
    """
    lines = []
    for bridge in bridges:
        four = ", ".join(bridge.of(4))
        six = ", ".join(["::", "fe80::/10", *bridge.of(6)])
        mine = f'iifname "{bridge.device}"'
        lines.append(
            f"{mine} ip saddr != {{ {four} }} drop" if four else f"{mine} meta nfproto ipv4 drop"
        )
        lines.append(f"{mine} ip6 saddr != {{ {six} }} drop")
    return _chain(
        "early",
        "filter hook prerouting priority raw",
        ["iifname @bridges jump honest"],
    ) + _chain("honest", "", ["ip daddr 127.0.0.0/8 drop", _NO_ROUTERS, *lines])


def _published(*, loopback: bool) -> str:
    """Lead published ports, of packets from elsewhere and of the machine's own.

    From elsewhere nothing may ask for the machine's loopback addresses: NAT comes before the
    kernel's own look at that.
    """
    local = "fib daddr type local jump published"
    never = ["ip daddr 127.0.0.0/8 return", "ip6 daddr ::1 return"]
    return "".join(
        (
            _chain("prerouting", "nat hook prerouting priority dstnat", [*never, local]),
            _chain(
                "output",
                "nat hook output priority -100",
                [*(never[1:] if loopback else never), local],
            ),
            _chain(
                "published",
                "",
                [
                    "iifname . meta l4proto . th dport @near return",
                    "dnat ip to ip daddr . meta l4proto . th dport map @at4",
                    "dnat ip to meta l4proto . th dport map @any4",
                    "dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6",
                    "dnat ip6 to meta l4proto . th dport map @any6",
                ],
            ),
        )
    )


def _masquerade(bridges: Sequence[Bridge], shape: Shape) -> str:
    """Give the gate's address to what leaves for elsewhere, and what must come back by the gate."""
    lines = ["oifname @bridges ip saddr 127.0.0.0/8 masquerade"]
    for bridge in bridges if shape.alone else ():
        for subnet in bridge.subnets:
            family = "ip6" if ":" in subnet else "ip"
            lines.append(
                f'{family} saddr {subnet} oifname "{bridge.device}" ct status dnat masquerade'
            )
    for bridge in bridges:
        if bridge.masquerade and not bridge.internal:
            for version, family in ((4, "ip"), (6, "ip6")):
                lines += [
                    f'{family} saddr {subnet} oifname != "{bridge.device}" masquerade'
                    for subnet in bridge.of(version)
                ]
    return _chain("postrouting", "nat hook postrouting priority srcnat", lines)


def _chain(name: str, hook: str, lines: Sequence[str]) -> str:
    head = [f"type {hook}; policy accept;"] if hook else []
    return f"chain {name} {{\n" + "".join(f"    {line}\n" for line in [*head, *lines]) + "}\n"
