"""`network prune`: remove the networks that no container is in."""

import contextlib
from collections.abc import Mapping, Sequence

from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.pruned import Chosen
from ipycontainer_runtime.engine.times import parse_rfc3339
from ipycontainer_runtime.errors import Forbidden, NotFound


class NetworkPruning:
    """Removes networks that nobody uses."""

    def __init__(self, networks: Networks, events: Events) -> None:
        self._networks = networks
        self._events = events

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> list[str]:
        """Remove unused networks that the filters let through, and return their names.

        A network stays in use while a container, running or not, is to be in it.
        """
        chosen = Chosen(filters, ())
        removed = []
        for network in self._networks.all():
            if network.predefined or self._networks.used(network):
                continue
            if not chosen.has(network.labels, parse_rfc3339(network.created)):
                continue
            with contextlib.suppress(Forbidden, NotFound):  # somebody came, or was faster
                await self._networks.remove(network.id)
                removed.append(network.name)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return removed
