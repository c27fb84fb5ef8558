"""POST /containers/{id}/update."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.updating import parse_update


class UpdateContainer(EngineHandler):
    """POST /containers/{id}/update."""

    async def post(self, reference: str) -> None:
        """Change limits and the restart policy, of a container that runs as well."""
        asked = parse_update(self.request.body)
        warnings = await self.engine.updating.update(reference, asked)
        self.reply({"Warnings": warnings or None})


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/containers/([^/]+)/update", UpdateContainer)]
