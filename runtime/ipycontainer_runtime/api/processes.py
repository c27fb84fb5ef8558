"""GET /containers/{id}/top."""

from ipycontainer_runtime.api.base import EngineHandler


class Top(EngineHandler):
    """GET /containers/{id}/top."""

    async def get(self, reference: str) -> None:
        """List a container's processes."""
        found = await self.engine.processes.list(reference, self.text("ps_args"))
        self.reply({"Titles": found.titles, "Processes": found.processes})


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/containers/([^/]+)/top", Top)]
