"""GET /images/search."""

import asyncio

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.images import AUTH


class SearchImages(EngineHandler):
    """GET /images/search."""

    async def get(self) -> None:
        """Answer with the images that a registry finds."""
        # `requests` costs an engine that never speaks to a registry its time and memory.
        from ipycontainer_runtime.engine.searching import search

        auth = self.request.headers.get(AUTH)
        asked = self.text("term"), self.integer("limit"), self.filters(), auth
        self.reply(await asyncio.to_thread(search, *asked))


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/images/search", SearchImages)]
