"""What a container is told of those to which it is linked: lines of its hosts file, and variables.

Names in networks of somebody's own are the resolver's; on the default bridge, which has none, a
link is a line in the file and a set of variables, as with Docker (its `daemon/links` package).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.networks.ports import exposed
from ipycontainer_runtime.errors import Conflict

Find = Callable[[str], Container]

_OWN = ("HOME", "PATH")
"""Variables of a container that mean nothing to others."""
_RUN = 3
"""How many ports in a row are told of as one range too."""


class _Link(NamedTuple):
    alias: str
    """Under which name the other one is known; empty for its own."""
    other: Container
    address: str


def _linked(container: Container, find: Find) -> Iterator[_Link]:
    """Yield the containers on the default bridge to which this one is linked.

    Raises Conflict for one that does not run, NotFound for one that has gone.
    """
    if "bridge" not in container.record.networks:
        return
    for text in container.record.host_config.links or ():
        name, _, alias = text.partition(":")
        other = find(name)
        end = other.sandbox.endpoints.get("bridge") if other.sandbox else None
        theirs = other.record.name
        if other.sandbox is not None and end is None:
            raise Conflict(
                f"Cannot link to /{theirs}, as it does not belong to the default network"
            )
        if end is None:
            raise Conflict(
                f"Cannot link to a non running container: /{theirs} AS "
                f"/{container.record.name}/{alias or theirs}"
            )
        yield _Link(alias, other, end.ipv4.partition("/")[0])


def links(container: Container, find: Find) -> Iterable[str]:
    """Yield a line of the hosts file for each container to which this one is linked.

    Raises Conflict for one that does not run, NotFound for one that has gone.
    """
    for link in _linked(container, find):
        record = link.other.record
        names = dict.fromkeys((link.alias or record.name, record.short_id, record.name))
        yield f"{link.address}\t{' '.join(names)}"


def variables(container: Container, find: Find) -> list[str]:
    """Return the variables by which a container knows those to which it is linked.

    Raises Conflict for one that does not run, NotFound for one that has gone.
    """
    found = []
    for link in _linked(container, find):
        config = link.other.record.config
        alias = link.alias or link.other.record.name
        prefix = alias.upper().replace("-", "_")
        ports = sorted((number, protocol) for protocol, number in exposed(config))
        if ports:
            found.append(f"{prefix}_PORT={_url(ports[0], link.address)}")
        for first, last in _rows(ports):
            found += _of_row(prefix, first, last, link.address)
        for port in ports:
            found += _of_port(prefix, port, link.address)
        found.append(f"{prefix}_NAME=/{container.record.name}/{alias}")
        given = (entry.partition("=") for entry in config.env or ())
        found += [f"{prefix}_ENV_{name}={value}" for name, _, value in given if name not in _OWN]
    return found


_Port = tuple[int, str]


def _url(port: _Port, address: str) -> str:
    return f"{port[1]}://{address}:{port[0]}"


def _of_port(prefix: str, port: _Port, address: str) -> list[str]:
    number, protocol = port
    name = f"{prefix}_PORT_{number}_{protocol.upper()}"
    return [
        f"{name}={_url(port, address)}",
        f"{name}_ADDR={address}",
        f"{name}_PORT={number}",
        f"{name}_PROTO={protocol}",
    ]


def _rows(ports: Sequence[_Port]) -> Iterator[tuple[_Port, _Port]]:
    """Yield first and last of the ports that follow each other, of three at least."""
    begin = 0
    for at, (number, _) in enumerate(ports):
        if at + 1 == len(ports) or ports[at + 1][0] > number + 1:
            if at - begin + 1 >= _RUN:
                yield ports[begin], ports[at]
            begin = at + 1


def _of_row(prefix: str, first: _Port, last: _Port, address: str) -> list[str]:
    name = f"{prefix}_PORT_{first[0]}_{first[1].upper()}"
    return [
        f"{name}_START={_url(first, address)}",
        f"{name}_ADDR={address}",
        f"{name}_PROTO={first[1]}",
        f"{name}_PORT_START={first[0]}",
        f"{name}_END={_url(last, address)}",
        f"{name}_PORT_END={last[0]}",
    ]
