"""POST /containers/prune, /images/prune, and of what there is none of yet."""

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


class PruneVolumes(EngineHandler):
    """POST /volumes/prune."""

    async def post(self) -> None:
        """Remove volumes that no container has: since 1.42 anonymous ones, unless all are meant."""
        pruned = await self.engine.volumes.prune(
            self.filters(), everything=self.api_version < (1, 42)
        )
        self.reply({"VolumesDeleted": pruned.removed, "SpaceReclaimed": pruned.reclaimed})


class PruneBuilds(EngineHandler):
    """POST /build/prune."""

    def post(self) -> None:
        """Forget the steps of earlier builds."""
        names = ("keep-storage", "reserved-space")
        keep = max(self.integer(name) or 0 for name in names)
        pruned = self.engine.build_pruning.prune(
            self.filters(), everything=self.flag("all"), keep=keep
        )
        self.reply({"CachesDeleted": pruned.removed or None, "SpaceReclaimed": pruned.reclaimed})


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/containers/prune", PruneContainers),
    ("/images/prune", PruneImages),
    ("/volumes/prune", PruneVolumes),
    ("/build/prune", PruneBuilds),
]
