"""Published ports as a firewall keeps them."""

from collections.abc import Iterable

from ipycontainer_runtime.store.networks import Published

ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - the key of ports of every address; nothing is bound
Key = tuple[str, str, int]
Ports = dict[Key, Published]


def key(port: Published) -> Key:
    """Return what of a published port is one thing for the machine: address, protocol, number."""
    return port.host_address, port.protocol, port.host_port


def forwarded(port: Published) -> bool:
    """Tell whether a rule can lead this port; the helper relays what it cannot.

    NAT does not change the family of a packet, and the kernel has no `route_localnet` for ::1.
    """
    return (":" in port.host_address) == (":" in port.address) and port.host_address != "::1"


def with_these(known: Ports, ports: Iterable[Published]) -> Ports:
    """Return what is known and these, as far as rules can lead them."""
    return known | {key(port): port for port in ports if forwarded(port)}


def without(known: Ports, ports: Iterable[Published]) -> Ports:
    """Return what is known but these."""
    gone = {key(port): port for port in ports}
    return {k: port for k, port in known.items() if gone.get(k) != port}


def among(known: Ports, ports: Iterable[Published]) -> Ports:
    """Return those of the known that are among these."""
    kept = set(ports)
    return {k: port for k, port in known.items() if port in kept}
