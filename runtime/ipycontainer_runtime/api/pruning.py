"""POST /containers/prune and /images/prune."""

from ipycontainer_runtime.api.base import EngineHandler


class PruneContainers(EngineHandler):
    """POST /containers/prune."""

    async def post(self) -> None:
        """Remove the containers that do not run."""
        pruned = await self.engine.pruning.containers(self.filters())
        self.reply(
            {"ContainersDeleted": pruned.removed or None, "SpaceReclaimed": pruned.reclaimed}
        )


class PruneImages(EngineHandler):
    """POST /images/prune."""

    def post(self) -> None:
        """Remove images that nobody uses."""
        pruned = self.engine.pruning.images(self.filters())
        self.reply({"ImagesDeleted": pruned.report or None, "SpaceReclaimed": pruned.reclaimed})


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/containers/prune", PruneContainers),
    ("/images/prune", PruneImages),
]
