"""The firewall as one nftables table, put up by `nft` in one transaction; ports by hand."""

import contextlib
import re
import socket
from collections.abc import Iterable, Sequence

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.network.firewall import elements
from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.elements import Element
from ipycontainer_runtime.network.firewall.ports import ANY, Key, Ports, key
from ipycontainer_runtime.network.firewall.rules import Before, Shape, near, ruleset
from ipycontainer_runtime.network.firewall.wire import Wire
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

PREFIX = "ipyc-"
"""What the name of every engine's table begins with."""
# `nft -n list table` gives protocols by their numbers, and by their names in some versions.
_ELEMENT = re.compile(
    r"(?:([0-9a-f.:]+) \. )?(tcp|udp|6|17) \. (\d+) : ([0-9a-f.:]+) \. (\d+)", re.ASCII
)
_OUTER = re.compile(r"set outer([46]) \{[^}]*elements = \{([^}]*)\}")
_TOLD = re.compile(r"set told \{[^}]*elements = \{([^}]*)\}")
_NEAR = re.compile(r"set near \{[^}]*elements = \{([^}]*)\}")
_PROTOCOLS = {"6": "tcp", "17": "udp", "tcp": "tcp", "udp": "udp"}


class Tables:
    """One table of the family inet, named for the engine."""

    name = "nftables"

    def __init__(self, place: Place, table: str) -> None:
        """Keep the table of this name in a place."""
        self._place = place
        self._table = table
        self._wire = Wire(place)

    def read(self) -> tuple[Ports, Before]:
        """Return what the table has, a new one what others' have of the machine.

        Who switched forwarding on may leave first, with his rules.
        """
        if listed := self._listed():
            return dict(_read(listed)), _before(listed)
        others = ""
        for table in _tables(self._place):
            with contextlib.suppress(Unavailable):  # its engine has just removed it
                others += Tables(self._place, table)._listed()
        return {}, _before(others)

    def put(self, bridges: Sequence[Bridge], ports: Ports, shape: Shape) -> None:
        """Put the whole table up anew; a packet in between sees either the old or the new one."""
        self._nft(ruleset(self._table, bridges, ports, shape))

    def change(self, bridges: Sequence[Bridge], old: Ports, new: Ports, shape: Shape) -> None:
        """Change the elements of the maps, in one transaction."""
        before, after = (_elements(ports, bridges, shape) for ports in (old, new))
        if not bridges:  # as where somebody else than an engine takes ports back
            before |= self._near(old) - self._near(new)
        if before != after:
            elements.change(self._wire, self._table, before - after, after - before)

    def _near(self, ports: Ports) -> set[Element]:
        """Return the elements of `near` that the kernel has for these ports."""
        numbers = {(port.protocol, str(port.host_port)) for port in ports.values()}
        held = _NEAR.search(self._listed()) if ports else None
        found = re.findall(r'"([^"]+)" \. (\w+) \. (\d+)', held[1] if held else "")
        return {
            elements.near(device, _PROTOCOLS[protocol], int(number))
            for device, protocol, number in found
            if (_PROTOCOLS.get(protocol), number) in numbers
        }

    def there(self) -> bool:
        """Tell whether the table is there: what is in it goes with it alone."""
        return f"table inet {self._table}" in _listed_tables(self._place).splitlines()

    def remove(self) -> None:
        """Delete the table."""
        self._wire.close()
        self._nft(f"add table inet {self._table}\ndelete table inet {self._table}")

    def _listed(self) -> str:
        """Return what the kernel has of the table; empty where there is none."""
        if not self.there():
            return ""
        return self._place.run(["nft", "-n", "list", "table", "inet", self._table])

    def _nft(self, text: str) -> None:
        self._place.run(["nft", "-f", "-"], text + "\n")


def orphans(place: Place) -> list[str]:
    """Return the tables of engines none of whose bridges is there any more."""
    names = {name for _index, name in within(place.netns, socket.if_nameindex)}
    found = []
    for table in _tables(place):
        try:
            held = place.run(["nft", "list", "set", "inet", table, "bridges"])
        except Unavailable:
            continue  # its engine has just removed it
        if not names.intersection(_quoted(held)):
            found.append(table)
    return found


def _tables(place: Place) -> list[str]:
    """Return the names of all engines' tables."""
    return re.findall(rf"^table inet ({PREFIX}[\w-]+)$", _listed_tables(place), re.MULTILINE)


def _listed_tables(place: Place) -> str:
    return place.run(["nft", "list", "tables"])


def _elements(ports: Ports, bridges: Sequence[Bridge], shape: Shape) -> set[Element]:
    back = set() if shape.alone else near(ports.values(), bridges)
    return {*map(elements.leading, ports.values()), *(elements.near(*one) for one in back)}


def _read(table: str) -> Iterable[tuple[Key, Published]]:
    for address, protocol, number, to, port in _ELEMENT.findall(table):
        host = address or ANY[6 if ":" in to else 4]
        found = Published(
            protocol=_PROTOCOLS[protocol],
            host_address=host,
            host_port=int(number),
            address=to,
            port=int(port),
        )
        yield key(found), found


def _before(tables: str) -> Before:
    outer: dict[int, set[str]] = {}
    for version, names in _OUTER.findall(tables):
        outer.setdefault(int(version), set()).update(_quoted(names))
    told = {name for names in _TOLD.findall(tables) for name in _quoted(names)}
    return Before({version: sorted(names) for version, names in outer.items()}, sorted(told))


def _quoted(text: str) -> list[str]:
    return re.findall('"([^"]+)"', text)
