"""Containers in networks: putting them in, taking them out, giving them another name there."""

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.networks import asked
from ipycontainer_runtime.engine.networks.changes import Changes
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.errors import Conflict, Forbidden, InvalidParameter, NotFound
from ipycontainer_runtime.store.networks import Network

_HOST = "container cannot be disconnected from host network or connected to host network"
_PRIVATE = (
    "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode"
)
_SHARED = (
    "container sharing network namespace with another container or host cannot be connected to "
    "any other network"
)


class Connecting:
    """`network connect`, `network disconnect` and `rename`."""

    def __init__(self, *, containers: Containers, networks: Networks, changes: Changes) -> None:
        self._containers = containers
        self._networks = networks
        self._changes = changes

    async def connect(self, reference: str, body: asked.ConnectBody) -> None:
        """Put a container into one more network. Raises Forbidden, in Docker's words."""
        network, container = self._found(reference, body.container)
        async with container.lock:
            self._refuse_shared(container, network)
            places = container.record.networks
            if network.name in places:
                raise Forbidden(
                    f"endpoint with name {container.record.name} already exists in network "
                    f"{network.name}"
                )
            if "none" in places:
                raise Forbidden(_PRIVATE)
            settings = asked.endpoint(body.endpoint_config, network)
            settings.late = True
            places[network.name] = settings
            try:
                await self._changes.connect(container, network, settings)
            except BaseException:
                del places[network.name]
                raise
            self._containers.store.save(container.record)

    async def disconnect(self, reference: str, body: asked.ConnectBody) -> None:
        """Take a container out of a network. Raises Conflict for one that is not in it.

        `force` is for endpoints without a container, of which this engine leaves none.
        """
        if body.force and not self._containers.has(body.container):
            self._networks.get(reference)
            raise NotFound(f"endpoint {body.container} not found")
        network, container = self._found(reference, body.container)
        async with container.lock:
            if network.driver == "host" or container.record.host_config.network_mode == "host":
                raise Forbidden(_HOST)
            if network.name not in container.record.networks:
                raise Conflict(
                    f"container {container.id} is not connected to network {network.name}"
                )
            places = container.record.networks
            before = dict(places)
            del places[network.name]
            try:
                await self._changes.disconnect(container, network)
            except BaseException:
                if self._changes.has(container, network):  # it is in it still
                    places.clear()
                    places.update(before)
                raise
            finally:
                self._containers.store.save(container.record)

    async def rename(self, reference: str, name: str) -> None:
        """Give a container another name, to which it answers in its networks at once."""
        container = self._containers.get(reference)
        async with container.lock:
            self._containers.rename(container.id, name)
            await self._changes.renamed(container)

    def _found(self, reference: str, container: str) -> tuple[Network, Container]:
        if not container:
            raise InvalidParameter('invalid name or ID supplied: ""')
        return self._networks.get(reference), self._containers.get(container)

    def _refuse_shared(self, container: Container, network: Network) -> None:
        mode = container.record.host_config.network_mode
        if network.driver == "host":
            raise Forbidden(_HOST)
        if mode == "host" or mode.startswith("container:"):
            raise Forbidden(_SHARED)
        if network.driver == "null" and container.record.networks:
            raise Forbidden(_PRIVATE)
