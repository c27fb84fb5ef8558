"""POST /auth of the Engine API."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.credentials.login import Entry


class Auth(EngineHandler):
    """POST /auth."""

    async def post(self) -> None:
        """Check credentials at their registry."""
        self.reply(await self.engine.logins.check(self.body_json(Entry)))


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/auth", Auth)]
