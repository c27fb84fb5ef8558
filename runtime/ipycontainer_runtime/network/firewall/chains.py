"""The firewall as chains of iptables and ip6tables, where there is no nft.

What is to be dropped is dropped in the table `mangle`, which is asked before `filter`: so no rule
of others' there that lets something through, and none that we put there beside them, opens it.
"""

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address, ip_network
from threading import Lock

from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

from . import forwarding
from .bridges import Bridge, checked
from .neighbours import Neighbours
from .ports import ANY, Ports, among, key, with_these, without

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED"
# Of each table: the kernel's chain, and the end of the name of ours that it asks.
_HOOKS = {
    "raw": (("PREROUTING", "early"),),
    "mangle": (("FORWARD", "forward"), ("INPUT", "input")),
    "nat": (("PREROUTING", "pre"), ("OUTPUT", "out"), ("POSTROUTING", "post")),
}
_LED = re.compile(
    r"(?:-d (\S+?)(?:/\d+)? )?(?:! -i \S+ )?-p (tcp|udp) -m \S+ --dport (\d+) -j DNAT"
    r" --to-destination (\S+):(\d+)"
)


class Chains:
    """Chains that begin with the engine's name, in each table that the kernel asks first."""

    name = "iptables"

    def __init__(self, place: Place, prefix: str) -> None:
        self._place = place
        self._prefix = prefix
        self._neighbours = Neighbours(place, prefix)
        self._lock = Lock()
        self._bridges: list[Bridge] = []
        self._ports: Ports | None = None  # asked of the kernel at the first use
        self._loopback = True
        self._outer: list[str] = []

    def apply(self, bridges: Sequence[Bridge]) -> None:
        """Put all chains up anew, table by table."""
        with self._lock:
            wanted = checked(list(bridges))
            self._known()
            switched = forwarding.switch_on(self._place, wanted, self._outer)
            self._loopback, self._outer = switched.loopback, switched.outer
            self._bridges = wanted
            for version in _PROGRAMS:
                self._put(version)
            self._neighbours.admit(wanted)

    def publish(self, ports: Sequence[Published]) -> None:
        """Add to the chain of published ports."""
        with self._lock:
            self._become(with_these(self._known(), ports))

    def unpublish(self, ports: Sequence[Published]) -> None:
        """Take out of the chain of published ports."""
        with self._lock:
            self._become(without(self._known(), ports))

    def published(self) -> list[Published]:
        """Return what the chains of published ports hold."""
        with self._lock:
            return list(self._known().values())

    def keep(self, ports: Collection[Published]) -> None:
        """Take out what is not among these."""
        with self._lock:
            self._become(among(self._known(), ports))

    def close(self) -> None:
        """Remove all chains, and what forwarding was switched on for them."""
        with self._lock:
            self._neighbours.close()
            for version in _PROGRAMS:
                self._take_away(version)
            forwarding.switch_off(self._place, self._outer, [b.device for b in self._bridges])
            self._bridges, self._ports, self._outer = [], {}, []

    def lacks(self) -> str:
        """Say which other firewall would not let the bridges through."""
        return self._neighbours.lacks()

    def _become(self, wanted: Ports) -> None:
        known = self._known()
        changed = [
            port
            for one, other in ((known, wanted), (wanted, known))
            for k, port in one.items()
            if other.get(k) != port
        ]
        self._ports = wanted
        for version in _PROGRAMS:
            if any(ip_address(port.address).version == version for port in changed):
                chain = self._chain("led")
                lines = ["*nat", f":{chain} - [0:0]", *self._leading(version), "COMMIT"]
                self._restore(version, lines)

    def _known(self) -> Ports:
        if self._ports is None:
            self._ports = {}
            for version in _PROGRAMS:
                for rule in self._rules(version, "nat"):
                    if rule.startswith(f"-A {self._chain('led')} ") and (led := _LED.search(rule)):
                        port = _published(version, *led.groups())
                        self._ports[key(port)] = port
            pattern = re.compile(rf"-A {self._chain('forward')} -i (\S+) -o (\S+) -m comment")
            found = [pattern.match(rule) for rule in self._rules(4, "mangle")]
            self._outer = sorted({name for match in found if match for name in match.groups()})
        return self._ports

    def _chain(self, end: str) -> str:
        return f"{self._prefix}-{end}"

    def _put(self, version: int) -> None:
        lines = []
        for table, hooks in _HOOKS.items():
            rules = self._rules(version, table)
            lines.append(f"*{table}")
            filled = self._filled(table, version)
            lines += [f":{self._chain(end)} - [0:0]" for end in filled]
            lines += [
                f"-A {self._chain(end)} {rule}" for end, inside in filled.items() for rule in inside
            ]
            lines += [
                f"-I {hook} 1 -j {self._chain(end)}"
                for hook, end in hooks
                if f"-A {hook} -j {self._chain(end)}" not in rules
            ]
            if table == "nat":
                lines += self._leading(version)
            lines.append("COMMIT")
        self._restore(version, lines)

    def _filled(self, table: str, version: int) -> dict[str, list[str]]:
        """Return the rules of our chains of a table, by the ends of their names."""
        if table == "raw":
            return {"early": self._early(version)}
        if table == "mangle":
            return {"forward": self._forward(), "input": self._input(version)}
        never = ["-d 127.0.0.0/8 -j RETURN"] if version == 4 else ["-d ::1/128 -j RETURN"]
        local = f"-m addrtype --dst-type LOCAL -j {self._chain('led')}"
        here = [] if version == 4 and self._loopback else never
        return {
            "led": [],
            "pre": [*never, local],
            "out": [*here, local],
            "post": self._masquerade(version),
        }

    def _early(self, version: int) -> list[str]:
        """Drop what no honest container sends; see `rules.py`."""
        always = ["::/128", "fe80::/10"] if version == 6 else []
        lines = []
        for bridge in self._bridges:
            mine = f"-i {bridge.device}"
            if version == 4:
                lines.append(f"{mine} -d 127.0.0.0/8 -j DROP")
            lines += [f"{mine} -s {net} -j RETURN" for net in (*always, *bridge.of(version))]
            lines.append(f"{mine} -j DROP")
        return lines

    def _forward(self) -> list[str]:
        kept = '-m comment --comment "not forwarded before"'
        lines = [f"-i {a} -o {b} {kept} -j DROP" for a in self._outer for b in self._outer]
        for bridge in self._bridges:
            own = f"-i {bridge.device} -o {bridge.device}"
            if bridge.talking:
                lines.append(f"{own} -j RETURN")
        for bridge in self._bridges:
            if bridge.internal:
                lines += [f"-{way} {bridge.device} -j DROP" for way in "io"]
            lines.append(f"-i {bridge.device} -m conntrack --ctstate INVALID -j DROP")
        for bridge in self._bridges:
            mine = f"-o {bridge.device}"
            lines.append(f"{mine} {_ESTABLISHED} -j RETURN")
            lines.append(f"{mine} -m conntrack --ctstate DNAT -j RETURN")
            lines.append(f"{mine} -j DROP")
        return lines

    def _input(self, version: int) -> list[str]:
        lines = []
        for bridge in self._bridges:
            if bridge.internal:
                mine = f"-i {bridge.device}"
                lines.append(f"{mine} {_ESTABLISHED} -j RETURN")
                if version == 6:
                    kinds = ("neighbour-solicitation", "neighbour-advertisement")
                    lines += [
                        f"{mine} -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j RETURN"
                        for kind in kinds
                    ]
                lines.append(f"{mine} -j DROP")
        return lines

    def _masquerade(self, version: int) -> list[str]:
        lines = []
        for bridge in self._bridges:
            mine = f"-o {bridge.device}"
            if version == 4:
                lines.append(f"-s 127.0.0.0/8 {mine} -j MASQUERADE")
            for subnet in bridge.of(version):
                if self._place.alone:
                    dnat = "-m conntrack --ctstate DNAT"
                    lines.append(f"-s {subnet} {mine} {dnat} -j MASQUERADE")
                if bridge.masquerade and not bridge.internal:
                    lines.append(f"-s {subnet} ! {mine} -j MASQUERADE")
        return lines

    def _leading(self, version: int) -> list[str]:
        """Return the rules of published ports, which only go anew when one changes."""
        homes = [(ip_network(net), b.device) for b in self._bridges for net in b.of(version)]
        lines = []
        for port in self._known().values():
            address = ip_address(port.address)
            if address.version != version:
                continue
            asked = "" if port.host_address == ANY[version] else f"-d {port.host_address} "
            device = next((device for network, device in homes if address in network), "")
            # See `rules.near`.
            others = f"! -i {device} " if device and not self._place.alone else ""
            target = f"[{address}]:{port.port}" if version == 6 else f"{address}:{port.port}"
            lines.append(
                f"-A {self._chain('led')} {asked}{others}-p {port.protocol} --dport"
                f" {port.host_port} -j DNAT --to-destination {target}"
            )
        return lines

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
