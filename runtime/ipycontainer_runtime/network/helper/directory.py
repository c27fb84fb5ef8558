"""Who is called what: the names and addresses of containers, as each container may see them."""

import socket

from ipycontainer_runtime.network.helper.presence import Membership, Presence


class Directory:
    """Answers for a container that asks: only of the networks that it is in itself."""

    def __init__(self) -> None:
        self._presences: dict[str, Presence] = {}
        self._names: dict[tuple[str, str], list[str]] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self._turn = 0

    def put(self, presence: Presence) -> None:
        """Enter a container, in place of what was known of it."""
        self.remove(presence.container)
        self._presences[presence.container] = presence
        for place in presence.networks:
            for name in {name.lower() for name in place.names}:
                self._names.setdefault((place.network, name), []).append(presence.container)
            for address in place.addresses:
                self._owners[place.network, address] = presence.container

    def remove(self, container: str) -> None:
        """Forget a container; harmless for one that is not known."""
        presence = self._presences.pop(container, None)
        for place in presence.networks if presence else ():
            for name in {name.lower() for name in place.names}:
                sharing = self._names[place.network, name]
                sharing.remove(container)
                if not sharing:
                    del self._names[place.network, name]
            for address in place.addresses:
                if self._owners.get((place.network, address)) == container:
                    del self._owners[place.network, address]

    def addresses(self, asker: str, name: str) -> list[str] | None:
        """Return the addresses behind a name, IPv4 and IPv6, in turns; None if it is not ours.

        `name` is in lower case, without a dot at its end. A network is searched for the name
        itself, then for what stands before `.` and the network's name.
        """
        presence = self._presences[asker]
        for place in presence.networks:
            found = self._named(presence, place, name)
            before, dot, _ = name.rpartition(f".{place.network_name.lower()}")
            if not found and dot and name == f"{before}{dot}":
                found = self._named(presence, place, before)
            if found:
                self._turn += 1
                start = self._turn % len(found)
                turned = found[start:] + found[:start]
                return [address for who in turned for address in self._of(who, place.network)]
        return None

    def _named(self, asker: Presence, place: Membership, name: str) -> list[str]:
        """Return the containers of one network that have a name there, or for the asker alone."""
        for alias, container in asker.links:
            if alias.lower() == name and self._of(container, place.network):
                return [container]
        return self._names.get((place.network, name), [])

    def _of(self, container: str, network: str) -> tuple[str, ...]:
        presence = self._presences.get(container)
        for place in presence.networks if presence else ():
            if place.network == network:
                return place.addresses
        return ()

    def is_near(self, asker: str, address: str) -> bool:
        """Tell whether an address is a container's in a network of the one that asks."""
        places = self._presences[asker].networks
        return any((place.network, address) in self._owners for place in places)

    def owner(self, asker: str, reverse: str) -> str | None:
        """Return `name.network` of the address that a name below arpa stands for, or None."""
        address = _address(reverse)
        if address is None:
            return None
        for place in self._presences[asker].networks:
            container = self._owners.get((place.network, address))
            for other in self._presences[container].networks if container else ():
                if other.network == place.network and other.names:
                    return f"{other.names[0]}.{other.network_name}"
        return None


def _address(reverse: str) -> str | None:
    """Return the address of a name as in PTR questions (RFC 1035 3.5, RFC 3596 2.5)."""
    labels = reverse.split(".")
    try:
        if labels[4:] == ["in-addr", "arpa"]:
            return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, ".".join(labels[3::-1])))
        if labels[32:] == ["ip6", "arpa"]:
            digits = bytes.fromhex("".join(labels[31::-1]))
            return socket.inet_ntop(socket.AF_INET6, digits)
    except (OSError, ValueError):  # not digits, or not as many
        pass
    return None
