"""GET /containers/{id}/stats."""

from ipycontainer_runtime.api.base import EngineHandler


class ContainerStats(EngineHandler):
    """GET /containers/{id}/stats."""

    async def get(self, reference: str) -> None:
        """Send one sample, or one a second until the container or the client is gone."""
        stats = self.engine.stats
        if not self.flag("stream", default=True):
            self.reply(await stats.sample(reference, one_shot=self.flag("one-shot")))
            return
        self.engine.containers.get(reference)
        async with self.stream() as out:
            async for sample in stats.stream(reference):
                await out.json(sample)


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/containers/([^/]+)/stats", ContainerStats)]
