"""What happened to a container, under /ipycontainer: Docker's API has no such thing."""

from ipycontainer_runtime.api.base import EngineHandler


class Timeline(EngineHandler):
    """GET /ipycontainer/containers/{id}/timeline."""

    async def get(self, reference: str) -> None:
        """Answer with the steps of its creation and last run, and the facts of what was made."""
        self.reply(await self.engine.timelines.of(reference))


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/ipycontainer/containers/([^/]+)/timeline", Timeline),
]
