"""The firewall as chains of iptables and ip6tables, where there is no nft.

What is to be dropped is dropped in the table `mangle`, which is asked before `filter`: so no rule
of others' there that lets something through, and none that we put there beside them, opens it.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.ports import ANY, Ports, key
from ipycontainer_runtime.network.firewall.rules import Before, Shape
from ipycontainer_runtime.network.firewall.tables import PREFIX
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED"
# Of each table: the kernel's chain, and the end of the name of ours that it asks.
_HOOKS = {
    "raw": (("PREROUTING", "early"),),
    "mangle": (("FORWARD", "forward"), ("INPUT", "input")),
    "nat": (("PREROUTING", "pre"), ("OUTPUT", "out"), ("POSTROUTING", "post")),
}
_KEPT = "not forwarded before"
_TOLD = f"{_KEPT}, told by routers"
"""Of the rule from a device to itself: what this tells of it has no rule of its own."""
_OF_ROUTERS = ("router-advertisement", "redirect")
_LED = re.compile(
    r"(?:-d (\S+?)(?:/\d+)? )?(?:! -i \S+ )?-p (tcp|udp) -m \S+ --dport (\d+) -j DNAT"
    r" --to-destination (\S+):(\d+)"
)
_KEPT_APART = re.compile(
    rf'^-A {PREFIX}\S+-forward -i (\S+) -o (\S+) -m comment --comment "([^"]+)"', re.MULTILINE
)


class Chains:
    """Chains that begin with the engine's name, in each table that the kernel asks first."""

    name = "iptables"

    def __init__(self, place: Place, prefix: str) -> None:
        """Keep the chains whose names begin so in a place."""
        self._place = place
        self._prefix = prefix

    def read(self) -> tuple[Ports, Before]:
        """Return the ports of the chains, and what all engines' have of the machine.

        Who switched forwarding on may leave first, with his rules.
        """
        ports = {key(port): port for version in _PROGRAMS for port, _ in self._led(version)}
        outer, told = {}, set[str]()
        for version in _PROGRAMS:
            kept = _KEPT_APART.findall("\n".join(self._rules(version, "mangle")))
            outer[version] = sorted({name for one, other, _ in kept for name in (one, other)})
            told |= {name for name, _, comment in kept if comment == _TOLD}
        return ports, Before(outer, sorted(told))

    def put(self, bridges: Sequence[Bridge], ports: Ports, shape: Shape) -> None:
        """Put all chains up anew, table by table."""
        for version in _PROGRAMS:
            inside = _Inside(bridges, shape, version, self._prefix)
            lines = []
            for table, hooks in _HOOKS.items():
                rules = self._rules(version, table)
                filled = inside.filled(table, ports)
                lines.append(f"*{table}")
                lines += [f":{self._chain(end)} - [0:0]" for end in filled]
                lines += [f"-A {self._chain(end)} {rule}" for end in filled for rule in filled[end]]
                lines += [
                    f"-I {hook} 1 -j {self._chain(end)}"
                    for hook, end in hooks
                    if f"-A {hook} -j {self._chain(end)}" not in rules
                ]
                lines.append("COMMIT")
            self._restore(version, lines)

    def change(self, bridges: Sequence[Bridge], old: Ports, new: Ports, shape: Shape) -> None:
        """Put the chain of published ports up anew, of the families that change.

        Who knows of no bridges, as somebody else than an engine who takes ports back, leaves the
        other ports' rules as they are: these say from which bridge they lead nobody.
        """
        both = ((old, new), (new, old))
        changed = [port for one, other in both for k, port in one.items() if other.get(k) != port]
        chain = self._chain("led")
        for version in {ip_address(port.address).version for port in changed}:
            if bridges:
                led = _Inside(bridges, shape, version, self._prefix).leading(new)
                rules = [f"-A {chain} {rule}" for rule in led]
            else:
                rules = [rule for port, rule in self._led(version) if new.get(key(port)) == port]
            self._restore(version, ["*nat", f":{chain} - [0:0]", *rules, "COMMIT"])

    def _led(self, version: int) -> Iterator[tuple[Published, str]]:
        """Yield the ports that the kernel leads, with their rules."""
        for rule in self._rules(version, "nat"):
            if rule.startswith(f"-A {self._chain('led')} ") and (led := _LED.search(rule)):
                yield _published(version, *led.groups()), rule

    def there(self) -> bool:
        """Tell whether all of them are asked."""
        return all(
            f"-A {hook} -j {self._chain(end)}" in rules
            for version in _PROGRAMS
            for table, hooks in _HOOKS.items()
            for rules in [self._rules(version, table)]
            for hook, end in hooks
        )

    def remove(self) -> None:
        """Remove all chains, and what leads to them."""
        for version in _PROGRAMS:
            self._take_away(version)

    def _chain(self, end: str) -> str:
        return f"{self._prefix}-{end}"

    def _take_away(self, version: int) -> None:
        lines = []
        for table in _HOOKS:
            rules = self._rules(version, table)
            chains = [r.split()[1] for r in rules if r.startswith(f"-N {self._prefix}-")]
            if chains:
                jumps = [r[3:] for r in rules if re.search(rf" -j {self._prefix}-\w+$", r)]
                lines += [f"*{table}", *(f"-D {jump}" for jump in jumps)]
                lines += [f"-F {chain}" for chain in chains]
                lines += [f"-X {chain}" for chain in chains]
                lines.append("COMMIT")
        if lines:
            self._restore(version, lines)

    def _rules(self, version: int, table: str) -> list[str]:
        return self._place.run([_PROGRAMS[version], "-w", "-t", table, "-S"]).splitlines()

    def _restore(self, version: int, lines: Sequence[str]) -> None:
        program = f"{_PROGRAMS[version]}-restore"
        self._place.run([program, "-w", "--noflush"], "\n".join((*lines, "")))


class _Inside:
    """The rules inside the chains of one family."""

    def __init__(self, bridges: Sequence[Bridge], shape: Shape, version: int, prefix: str) -> None:
        self._of = bridges
        self._shape = shape
        self._version = version
        self._prefix = prefix

    def filled(self, table: str, ports: Ports) -> dict[str, list[str]]:
        """Return the rules of our chains of a table, by the ends of their names."""
        if table == "raw":
            return {"early": self._early()}
        if table == "mangle":
            return {"forward": self._forward(), "input": self._input()}
        never = ["-d 127.0.0.0/8 -j RETURN"] if self._version == 4 else ["-d ::1/128 -j RETURN"]
        local = f"-m addrtype --dst-type LOCAL -j {self._prefix}-led"
        here = [] if self._version == 4 and self._shape.loopback else never
        return {
            "led": self.leading(ports),
            "pre": [*never, local],
            "out": [*here, local],
            "post": self._masquerade(),
        }

    def _early(self) -> list[str]:
        """Drop what no honest container sends; see `rules.py`."""
        always = ["::/128", "fe80::/10"] if self._version == 6 else []
        lines = []
        for bridge in self._of:
            mine = f"-i {bridge.device}"
            if self._version == 4:
                lines.append(f"{mine} -d 127.0.0.0/8 -j DROP")
            else:
                icmp = f"{mine} -p ipv6-icmp -m icmp6 --icmpv6-type"
                lines += [f"{icmp} {kind} -j DROP" for kind in _OF_ROUTERS]
            lines += [f"{mine} -s {net} -j RETURN" for net in (*always, *bridge.of(self._version))]
            lines.append(f"{mine} -j DROP")
        return lines

    def _forward(self) -> list[str]:
        outer = self._shape.before.outer.get(self._version, ())
        told = set(self._shape.before.told if self._version == 6 else ())
        lines = [
            f'-i {a} -o {b} -m comment --comment "{_TOLD if a == b and a in told else _KEPT}"'
            " -j DROP"
            for a in outer
            for b in outer
        ]
        for bridge in self._of:
            own = f"-i {bridge.device} -o {bridge.device}"
            if bridge.talking:
                lines.append(f"{own} -j RETURN")
        for bridge in self._of:
            if bridge.internal:
                lines += [f"-{way} {bridge.device} -j DROP" for way in "io"]
            lines.append(f"-i {bridge.device} -m conntrack --ctstate INVALID -j DROP")
        for bridge in self._of:
            mine = f"-o {bridge.device}"
            lines.append(f"{mine} {_ESTABLISHED} -j RETURN")
            lines.append(f"{mine} -m conntrack --ctstate DNAT -j RETURN")
            lines.append(f"{mine} -j DROP")
        return lines

    def _input(self) -> list[str]:
        lines = []
        for bridge in self._of:
            if bridge.internal:
                mine = f"-i {bridge.device}"
                lines.append(f"{mine} {_ESTABLISHED} -j RETURN")
                if self._version == 6:
                    kinds = ("neighbour-solicitation", "neighbour-advertisement")
                    lines += [
                        f"{mine} -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j RETURN"
                        for kind in kinds
                    ]
                lines.append(f"{mine} -j DROP")
        return lines

    def _masquerade(self) -> list[str]:
        lines = []
        for bridge in self._of:
            mine = f"-o {bridge.device}"
            if self._version == 4:
                lines.append(f"-s 127.0.0.0/8 {mine} -j MASQUERADE")
            for subnet in bridge.of(self._version):
                if self._shape.alone:
                    dnat = "-m conntrack --ctstate DNAT"
                    lines.append(f"-s {subnet} {mine} {dnat} -j MASQUERADE")
                if bridge.masquerade and not bridge.internal:
                    lines.append(f"-s {subnet} ! {mine} -j MASQUERADE")
        return lines

    def leading(self, ports: Ports) -> list[str]:
        """Return the rules of published ports."""
        homes = [(ip_network(net), b.device) for b in self._of for net in b.of(self._version)]
        lines = []
        for port in ports.values():
            address = ip_address(port.address)
            if address.version != self._version:
                continue
            asked = "" if port.host_address == ANY[self._version] else f"-d {port.host_address} "
            device = next((device for network, device in homes if address in network), "")
            # See `rules.near`.
            others = f"! -i {device} " if device and not self._shape.alone else ""
            target = f"[{address}]:{port.port}" if self._version == 6 else f"{address}:{port.port}"
            lines.append(
                f"{asked}{others}-p {port.protocol} --dport"
                f" {port.host_port} -j DNAT --to-destination {target}"
            )
        return lines


def _published(
    version: int, asked: str | None, protocol: str, number: str, address: str, inside: str
) -> Published:
    return Published(
        protocol=protocol,
        host_address=asked or ANY[version],
        host_port=int(number),
        address=address.strip("[]"),
        port=int(inside),
    )
