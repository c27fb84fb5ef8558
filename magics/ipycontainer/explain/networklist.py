"""Who is in which network, under which address, and where its ports are published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import rows
from ..failures import one_line
from ..listing import Documents, Listing, Table, align
from ..published import Port, machine, of_entry, once
from ..units import counted

if TYPE_CHECKING:
    from ..session import Session

Entry = Mapping[str, Any]
_HEADINGS = ["NETWORK", "SUBNET", "CONTAINER", "ADDRESS", "PUBLISHED"]
_NOTHING = "-"


class Member(NamedTuple):
    """A running container: its addresses by the ids of its networks, and its published ports."""

    name: str
    addresses: Mapping[str, str]
    ports: Sequence[Port]


class Drawn(NamedTuple):
    """A network as it is drawn."""

    id: str
    name: str
    driver: str
    subnets: str
    gateway: str
    internal: bool


class Drawing(Listing[Drawn]):
    """Networks with the containers in them, as text and as a figure."""

    def __init__(
        self, networks: Sequence[Drawn], members: Sequence[Member], machine: str, empty: int
    ) -> None:
        super().__init__(networks)
        self.members = members
        self.machine = machine
        self.empty = empty
        """How many networks are left out, for nobody is in them."""

    @property
    def summary(self) -> str:
        """What is drawn, in one line."""
        told = f"{counted(len(self.members), 'container')} in {counted(len(self), 'network')}"
        return f"{told}; empty and not drawn: {self.empty}" if self.empty else told

    def text(self) -> str:
        """Return a line for each place of a container in a network."""
        return align([_HEADINGS, *(line for found in self for line in self._lines(found))])

    def _lines(self, found: Drawn) -> list[list[str]]:
        start = [one_line(found.name), found.subnets or _NOTHING]
        inside = [
            [*start, one_line(member.name), member.addresses[found.id] or _NOTHING, _ports(member)]
            for member in self.members
            if found.id in member.addresses
        ]
        return inside or [[*start, _NOTHING, _NOTHING, _NOTHING]]

    def html(self) -> str:
        """Return the figure; it needs no script."""
        from .networkfigure import networks

        return networks(self)


def _ports(member: Member) -> str:
    told = [f"{port.outer}->{port.inner}" for port in member.ports]
    return ", ".join(told) or _NOTHING


def drawn(session: Session, entries: Iterable[Entry], *, everything: bool = False) -> Drawing:
    """Ask who runs, and return the networks drawn; `everything` has those without anybody, too."""
    members = [_member(entry) for entry in session.api.containers()]
    asked = [_network(entry) for entry in entries]
    ids = {found.id for found in asked}
    inside = [member for member in members if ids & member.addresses.keys()]
    used = {one for member in inside for one in member.addresses}
    kept = [found for found in asked if everything or found.id in used]
    order = sorted(inside, key=lambda member: member.name)
    return Drawing(
        sorted(kept, key=lambda found: found.name),
        order,
        machine(session.address),
        len(asked) - len(kept),
    )


def _member(entry: Entry) -> Member:
    places = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = {
        place["NetworkID"]: ", ".join(
            one for one in (place.get("IPAddress"), place.get("GlobalIPv6Address")) if one
        )
        for place in places.values()
    }
    return Member(rows.container_name(entry), addresses, once(of_entry(entry)))


def _network(entry: Entry) -> Drawn:
    facts = rows.network_facts(entry)
    return Drawn(
        entry["Id"],
        entry["Name"],
        entry["Driver"],
        facts.get("Subnet", ""),
        facts.get("Gateway", ""),
        bool(entry.get("Internal")),
    )


class NetworkTable(Table[Any]):
    """The table of `network ls`; a page has the drawing under it."""

    def __init__(self, items: Sequence[Any], found: rows.Rows, draw: Callable[[], Drawing]) -> None:
        super().__init__(items, counted(len(items), "network"), rows.NETWORK_COLUMNS, found)
        self._draw = draw

    def html(self) -> str:
        """Return the table, and who is in the networks where somebody is."""
        drawing = self._draw()
        return super().html() + (drawing.html() if drawing.members else "")


class NetworkDocuments(Documents[Any]):
    """What `network inspect` shows; a page has the drawing before it."""

    def __init__(
        self,
        items: Sequence[Any],
        documents: Sequence[Entry],
        draw: Callable[[Sequence[Entry]], Drawing],
    ) -> None:
        super().__init__(items, documents, [rows.facts(document) for document in documents])
        self._draw = partial(draw, documents)

    def html(self) -> str:
        """Return the drawing, then the facts with the whole documents folded under them."""
        return self._draw().html() + super().html()
