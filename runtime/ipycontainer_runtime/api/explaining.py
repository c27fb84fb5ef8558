"""What happened to a container and what is in an image: Docker's API has no such thing."""

from ipycontainer_runtime.api.base import EngineHandler


class Timeline(EngineHandler):
    """GET /ipycontainer/containers/{id}/timeline."""

    async def get(self, reference: str) -> None:
        """Answer with the steps of its creation and last run, and the facts of what was made."""
        self.reply(await self.engine.timelines.of(reference))


class Layers(EngineHandler):
    """GET /ipycontainer/images/{name}/layers."""

    async def get(self, name: str) -> None:
        """Answer with what each layer adds, changes and removes; `layer` and `find` list names."""
        self.reply(
            await self.engine.image_contents.of(
                name,
                layer=self.integer("layer") or 0,
                find=self.text("find"),
                limit=self.integer("limit", 100) or 0,
            )
        )


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/ipycontainer/containers/([^/]+)/timeline", Timeline),
    ("/ipycontainer/images/(.+)/layers", Layers),
]
