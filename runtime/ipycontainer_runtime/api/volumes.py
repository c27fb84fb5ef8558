"""The Engine API's volumes: https://docs.docker.com/reference/api/engine/version/v1.50/#tag/Volume."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.create import decoded
from ipycontainer_runtime.engine.volumes.volumes import CreateVolume
from ipycontainer_runtime.errors import InvalidParameter


class ListVolumes(EngineHandler):
    """GET /volumes."""

    async def get(self) -> None:
        """List volumes; what a plugin could not tell is a warning."""
        listed = await self.engine.volumes.list(self.filters())
        self.reply({"Volumes": listed.volumes, "Warnings": listed.warnings or None})


class CreateVolumes(EngineHandler):
    """POST /volumes/create."""

    async def post(self) -> None:
        """Make a volume, or answer with the one that has the name."""
        if not self.request.body:
            raise InvalidParameter("got EOF while reading request body")
        body = decoded(self.request.body, CreateVolume)
        volume, _ = await self.engine.volumes.create(body)
        self.reply(await self.engine.volumes.inspect(volume.name), 201)


class InspectVolume(EngineHandler):
    """GET and DELETE /volumes/{name}."""

    async def get(self, name: str) -> None:
        """Return everything that is known of one volume."""
        self.reply(await self.engine.volumes.inspect(name))

    async def delete(self, name: str) -> None:
        """Remove a volume that no container has."""
        await self.engine.volumes.remove(name, force=self.flag("force"))
        self.empty()


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/volumes", ListVolumes),
    ("/volumes/create", CreateVolumes),
    ("/volumes/([^/]+)", InspectVolume),
]
