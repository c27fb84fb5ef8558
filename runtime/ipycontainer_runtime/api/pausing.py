"""POST /containers/{id}/pause and /unpause."""

from ipycontainer_runtime.api.base import EngineHandler


class Pause(EngineHandler):
    """POST /containers/{id}/pause."""

    async def post(self, reference: str) -> None:
        """Hold every process still."""
        await self.engine.pausing.pause(reference)
        self.empty()


class Unpause(EngineHandler):
    """POST /containers/{id}/unpause."""

    async def post(self, reference: str) -> None:
        """Let the processes go on."""
        await self.engine.pausing.unpause(reference)
        self.empty()


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/containers/([^/]+)/pause", Pause),
    ("/containers/([^/]+)/unpause", Unpause),
]
