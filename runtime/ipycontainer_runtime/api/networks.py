"""The Engine API's networks: https://docs.docker.com/reference/api/engine/version/v1.50/."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.create import decoded
from ipycontainer_runtime.engine.networks.asked import ConnectBody, NetworkBody


class ListNetworks(EngineHandler):
    """GET /networks."""

    def get(self) -> None:
        """List networks."""
        self.reply(self.engine.networks.list(self.filters()))


class CreateNetwork(EngineHandler):
    """POST /networks/create."""

    async def post(self) -> None:
        """Create a network."""
        body = decoded(self.request.body, NetworkBody)
        self.reply({"Id": await self.engine.networks.create(body), "Warning": ""}, 201)


class InspectNetwork(EngineHandler):
    """GET and DELETE /networks/{id}."""

    def get(self, reference: str) -> None:
        """Return everything that is known of one network."""
        self.reply(
            self.engine.networks.inspect(
                reference, verbose=self.flag("verbose"), scope=self.text("scope")
            )
        )

    async def delete(self, reference: str) -> None:
        """Remove a network."""
        await self.engine.networks.remove(reference)
        self.empty()


class ConnectNetwork(EngineHandler):
    """POST /networks/{id}/connect."""

    async def post(self, reference: str) -> None:
        """Put a container into a network."""
        await self.engine.connecting.connect(reference, decoded(self.request.body, ConnectBody))
        self.empty(200)


class DisconnectNetwork(EngineHandler):
    """POST /networks/{id}/disconnect."""

    async def post(self, reference: str) -> None:
        """Take a container out of a network."""
        await self.engine.connecting.disconnect(reference, decoded(self.request.body, ConnectBody))
        self.empty(200)


class PruneNetworks(EngineHandler):
    """POST /networks/prune."""

    async def post(self) -> None:
        """Remove the networks that no container is in."""
        removed = await self.engine.network_pruning.prune(self.filters())
        self.reply({"NetworksDeleted": removed or None})


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/networks", ListNetworks),
    ("/networks/create", CreateNetwork),
    ("/networks/prune", PruneNetworks),
    (r"/networks/([^/]+)", InspectNetwork),
    (r"/networks/([^/]+)/connect", ConnectNetwork),
    (r"/networks/([^/]+)/disconnect", DisconnectNetwork),
]
