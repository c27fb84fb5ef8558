"""What the hosts file of a container says of others: those to which it is linked.

Names in networks of somebody's own are the resolver's; on the default bridge, which has none, a
link is a line in the file, as with Docker.
"""

from collections.abc import Callable, Iterable

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import Conflict

Find = Callable[[str], Container]


def links(container: Container, find: Find) -> Iterable[str]:
    """Yield a line for each container on the default bridge to which this one is linked.

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
        names = dict.fromkeys((alias or theirs, other.record.short_id, theirs))
        yield f"{end.ipv4.partition('/')[0]}\t{' '.join(names)}"
