"""What the engine tells the helper of a container: where it is, its names, the ports it wants.

The helper's process loads this module, so it imports only what is small.
"""

from typing import Any, NamedTuple


class Membership(NamedTuple):
    """A container's place in one network, as others there find it."""

    network: str
    """The network's id."""
    network_name: str
    names: tuple[str, ...]
    """The container's name first, then its short id and aliases; others may share an alias."""
    addresses: tuple[str, ...]
    """IPv4 and IPv6, without prefix lengths."""
    internal: bool = False
    """True where nothing is asked outside on behalf of the network."""


class Wanted(NamedTuple):
    """A port to publish: one host port of `first` to `last`, any free one where both are 0."""

    protocol: str
    """tcp or udp."""
    port: int
    """Of the container."""
    host_address: str = ""
    """Empty for all of the machine's, IPv4 and IPv6."""
    first: int = 0
    last: int = 0


class Presence(NamedTuple):
    """A container that runs. Sent again, without descriptors, when something of it changes."""

    container: str
    """Its id."""
    name: str
    networks: tuple[Membership, ...] = ()
    """In the order in which a name is looked for."""
    links: tuple[tuple[str, str], ...] = ()
    """Pairs of an alias that only this container uses, and another container's id."""
    resolves: bool = True
    """False on the default bridge: the container asks its resolvers itself."""
    upstreams: tuple[str, ...] = ()
    """Resolvers for what is not ours; empty for those of the machine."""
    endpoint: str = ""
    """The id of the endpoint that ports lead to."""
    address: str = ""
    """IPv4 of that endpoint."""
    address6: str = ""
    wanted: tuple[Wanted, ...] = ()
    process: int | None = None
    """A pidfd of the first process, with whose end everything is dropped; the caller's to close."""
    place: int | None = None
    """The network namespace from which the container is reached; None for the helper's own. It is
    the caller's, and stays open as long as the engine runs."""


def told(presence: Presence) -> dict[str, Any]:
    """Return a presence as it is sent, without its descriptors."""
    fields = presence._asdict()
    del fields["process"], fields["place"]
    return fields


def heard(fields: dict[str, Any]) -> Presence:
    """Return the presence that `told` described."""
    presence = Presence(**fields)
    return presence._replace(
        networks=tuple(Membership(*network) for network in presence.networks),
        links=tuple((alias, container) for alias, container in presence.links),
        wanted=tuple(Wanted(*wanted) for wanted in presence.wanted),
    )
