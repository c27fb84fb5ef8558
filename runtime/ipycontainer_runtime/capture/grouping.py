"""Which distributions share a layer, so that a later capture finds most of them as they were.

A large distribution has a layer of its own; the small ones are dealt out to a few by their names,
alike on every machine. What an earlier capture of the environment put into which layer stays there,
and what was installed since then is one layer more.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LARGE = 10 << 20
"""Bytes from which a distribution has a layer of its own."""
MOST_LARGE = 12
BUCKETS = 4
MOST_ADDED = 16
"""Layers of later installations, beyond which all is dealt out anew: Docker allows 127 in all."""
ADDED = "added-"


class Group(NamedTuple):
    """One layer's distributions, by name."""

    name: str
    members: tuple[str, ...]


def group(sizes: Mapping[str, int], earlier: Sequence[Group] = ()) -> list[Group]:
    """Return the layers for distributions of these sizes, lowest first.

    `earlier` are those of the capture before; members that are gone leave them.
    """
    if sum(one.name.startswith(ADDED) for one in earlier) >= MOST_ADDED:
        earlier = [one for one in earlier if not one.name.startswith(ADDED)]
        known = {name for one in earlier for name in one.members}
        return _dealt({n: s for n, s in sizes.items() if n not in known}, _left(sizes, earlier))
    kept = _left(sizes, earlier)
    if not kept:
        return _dealt(sizes, [])
    known = {name for one in kept for name in one.members}
    new = tuple(sorted(sizes.keys() - known))
    return [*kept, Group(_next(kept), new)] if new else kept


def _left(sizes: Mapping[str, int], earlier: Sequence[Group]) -> list[Group]:
    left = (Group(g.name, tuple(sorted(n for n in g.members if n in sizes))) for g in earlier)
    return [one for one in left if one.members]


def _next(kept: Sequence[Group]) -> str:
    numbers = [
        int(n[:9]) for g in kept if (n := g.name.removeprefix(ADDED)) != g.name and n.isdecimal()
    ]
    return f"{ADDED}{max(numbers, default=0) + 1}"


def _dealt(sizes: Mapping[str, int], kept: list[Group]) -> list[Group]:
    """Deal out what no layer has yet, to those that there are and to new ones."""
    taken = {one.name for one in kept}
    room = MOST_LARGE - sum(not name.startswith("packages-") for name in taken)
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    large = [name for name in ranked[: max(room, 0)] if sizes[name] >= LARGE]
    members = {one.name: set(one.members) for one in kept}
    for name in sorted(large):
        members.setdefault(name, set()).add(name)
    for name in sorted(sizes.keys() - set(large)):
        number = hashlib.sha256(name.encode()).digest()[0] % BUCKETS + 1
        members.setdefault(f"packages-{number}", set()).add(name)
    order = sorted(
        members, key=lambda name: (name not in taken, name.startswith("packages-"), name)
    )
    return [Group(name, tuple(sorted(members[name]))) for name in order]
