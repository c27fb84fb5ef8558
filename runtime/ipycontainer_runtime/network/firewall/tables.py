"""The firewall as one nftables table, put up by `nft` in one transaction."""

import re
from collections.abc import Collection, Iterable, Sequence
from threading import Lock

from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

from . import forwarding
from .bridges import Bridge, checked
from .neighbours import Neighbours
from .ports import ANY, Key, Ports, among, key, with_these, without
from .rules import Shape, leading, near, ruleset

# `nft -n list table` gives protocols by their numbers, and by their names in some versions.
_ELEMENT = re.compile(
    r"(?:([0-9a-f.:]+) \. )?(tcp|udp|6|17) \. (\d+) : ([0-9a-f.:]+) \. (\d+)", re.ASCII
)
_OUTER = re.compile(r"set outer \{[^}]*elements = \{([^}]*)\}")
_PROTOCOLS = {"6": "tcp", "17": "udp", "tcp": "tcp", "udp": "udp"}


class Tables:
    """One table of the family inet, named for the engine."""

    name = "nftables"

    def __init__(self, place: Place, table: str) -> None:
        self._place = place
        self._alone = place.alone
        self._table = table
        self._neighbours = Neighbours(place, table)
        self._lock = Lock()
        self._bridges: list[Bridge] = []
        self._ports: Ports | None = None  # asked of the kernel at the first use
        self._outer: list[str] = []

    def apply(self, bridges: Sequence[Bridge]) -> None:
        """Put the whole table up anew; what is in between sees either the old or the new one."""
        with self._lock:
            wanted = checked(list(bridges))
            ports = self._known()
            switched = forwarding.switch_on(self._place, wanted, self._outer)
            self._nft(ruleset(self._table, wanted, ports, Shape(*switched, self._alone)))
            self._bridges, self._outer = wanted, switched.outer
            self._neighbours.admit(wanted)

    def publish(self, ports: Sequence[Published]) -> None:
        """Add elements to the maps; a port that leads elsewhere is led anew."""
        with self._lock:
            self._become(with_these(self._known(), ports))

    def unpublish(self, ports: Sequence[Published]) -> None:
        """Take elements out of the maps."""
        with self._lock:
            self._become(without(self._known(), ports))

    def published(self) -> list[Published]:
        """Return what the maps hold."""
        with self._lock:
            return list(self._known().values())

    def keep(self, ports: Collection[Published]) -> None:
        """Take out what is not among these."""
        with self._lock:
            self._become(among(self._known(), ports))

    def close(self) -> None:
        """Delete the table, and what forwarding was switched on for it."""
        with self._lock:
            self._known()
            self._neighbours.close()
            self._nft(f"add table inet {self._table}\ndelete table inet {self._table}")
            forwarding.switch_off(self._place, self._outer, [b.device for b in self._bridges])
            self._bridges, self._ports, self._outer = [], {}, []

    def lacks(self) -> str:
        """Say which other firewall would not let the bridges through."""
        return self._neighbours.lacks()

    def _become(self, wanted: Ports) -> None:
        """Change the maps from what is known to what is wanted, in one transaction."""
        known = self._known()
        old, new = self._elements(known), self._elements(wanted)
        lines = [f"delete element inet {self._table} {one}" for one in sorted(old - new)]
        lines += [f"add element inet {self._table} {one}" for one in sorted(new - old)]
        if lines:
            self._nft("\n".join(lines))
        self._ports = wanted

    def _elements(self, ports: Ports) -> set[str]:
        back = set() if self._alone else near(ports.values(), self._bridges)
        return {leading(port) for port in ports.values()} | {f"near {{ {one} }}" for one in back}

    def _known(self) -> Ports:
        if self._ports is None:
            listed = self._listed()
            self._ports = dict(_read(listed))
            self._outer = _outer(listed)
        return self._ports

    def _listed(self) -> str:
        """Return what the kernel has of the table; empty where there is none."""
        if f"table inet {self._table}\n" not in self._place.run(["nft", "list", "tables"]) + "\n":
            return ""
        return self._place.run(["nft", "-n", "list", "table", "inet", self._table])

    def _nft(self, text: str) -> None:
        self._place.run(["nft", "-f", "-"], text + "\n")


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


def _outer(table: str) -> list[str]:
    found = _OUTER.search(table)
    return re.findall('"([^"]+)"', found[1]) if found else []
