"""A gate with bridges, containers on them, and a neighbour outside."""

import re
from typing import NamedTuple

from ipycontainer_runtime.network.firewall import Bridge

from .netlab import Host, Lab


class Town(NamedTuple):
    """Two networks and an internal one behind a gate, and a neighbour on its other side.

    The gate is 198.51.100.1 and 2001:db8:1::1 to its neighbour, who is .2 and ::2 and has a route
    to the containers by the gate, as nobody can be kept from having.
    """

    lab: Lab
    gate: Host
    neighbour: Host
    red: Host
    """172.30.1.2 and fd00:1::2 on br-red."""
    pink: Host
    """172.30.1.3 on br-red as well."""
    blue: Host
    """172.30.2.2 on br-blue."""
    inner: Host
    """172.30.3.2 on br-inner, the internal network, with a route that it has not been given."""

    def remove(self, *bridges: Bridge) -> None:
        """Remove bridges of the gate, with the machine's ends of their containers' cables."""
        for bridge in bridges:
            listed = self.gate.run("ip", "-o", "link", "show", "master", bridge.device)
            ports = re.findall(r"^\d+: (\w+)@", listed, re.MULTILINE)
            self.gate.ip(*(f"link del {device}" for device in (*ports, bridge.device)))


BRIDGES = (
    Bridge("br-red", ("172.30.1.0/24", "fd00:1::/64")),
    Bridge("br-blue", ("172.30.2.0/24",)),
    Bridge("br-inner", ("172.30.3.0/24",), internal=True),
)


def founded(lab: Lab) -> Town:
    """Return the gate and all who are around it; a server at port 80 of each but the gate."""
    gate, neighbour = lab.host("gate"), lab.host("out")
    lab.wire(gate, "eth0", neighbour, "eth0")
    for host, last in ((gate, 1), (neighbour, 2)):
        host.ip(
            f"addr add 198.51.100.{last}/24 dev eth0",
            f"addr add 2001:db8:1::{last}/64 dev eth0 nodad",
        )
    neighbour.ip(
        "route add 172.30.0.0/16 via 198.51.100.1", "route add fd00::/16 via 2001:db8:1::1"
    )
    for number, bridge in enumerate(BRIDGES, 1):
        gate.ip(
            f"link add {bridge.device} type bridge",
            f"addr add 172.30.{number}.1/24 dev {bridge.device}",
            f"link set {bridge.device} up",
        )
    gate.ip("addr add fd00:1::1/64 dev br-red nodad")
    red = lab.container(gate, "br-red", "172.30.1.2/24 fd00:1::2/64", "172.30.1.1 fd00:1::1")
    pink = lab.container(gate, "br-red", "172.30.1.3/24", "172.30.1.1")
    blue = lab.container(gate, "br-blue", "172.30.2.2/24", "172.30.2.1")
    inner = lab.container(gate, "br-inner", "172.30.3.2/24", "172.30.3.1")
    places = (
        (neighbour, "neighbour", "198.51.100.2"),
        (red, "red", "172.30.1.2"),
        (pink, "pink", "172.30.1.3"),
        (blue, "blue", "172.30.2.2"),
        (inner, "inner", "172.30.3.2"),
        (red, "red", "fd00:1::2"),
        (neighbour, "neighbour", "2001:db8:1::2"),
    )
    for host, name, address in places:
        for kind in ("tcp", "udp"):
            lab.serve(host, name, address, 80, kind)
    return Town(lab, gate, neighbour, red, pink, blue, inner)
