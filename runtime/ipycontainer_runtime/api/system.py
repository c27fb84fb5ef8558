"""The System tag of the Engine API: ping, version, info, events."""

from ipycontainer_runtime.api.base import EngineHandler


class Ping(EngineHandler):
    """/_ping: is anybody there, and which version do they speak?"""

    def get(self) -> None:
        """Answer OK; the headers tell the rest."""
        self._headers_of_ping()
        self.finish(b"OK")

    def head(self) -> None:
        """Answer with the headers alone."""
        self._headers_of_ping()
        self.finish()

    def _headers_of_ping(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-cache, no-store, must-revalidate")
        self.set_header("Pragma", "no-cache")
        self.set_header("Builder-Version", "1")
        self.set_header("Swarm", "inactive")


class Version(EngineHandler):
    """GET /version."""

    def get(self) -> None:
        """Answer with versions of the engine and of its parts."""
        self.reply(self.engine.system.version())


class Info(EngineHandler):
    """GET /info."""

    async def get(self) -> None:
        """Answer with what this engine is, holds and may do."""
        self.reply(await self.engine.system.info())


class DiskUsage(EngineHandler):
    """GET /system/df."""

    async def get(self) -> None:
        """Answer with what images and containers take on the disk."""
        types = self.get_query_arguments("type")
        report = await self.engine.disk_usage.report(types, self.api_version)
        self.reply({**report, "BuilderSize": 0} if self.api_version < _NO_BUILDER_SIZE else report)


class Events(EngineHandler):
    """GET /events."""

    async def get(self) -> None:
        """Stream events, from the backlog if `since` asks, until `until` or the client leaves."""
        since, until = self.engine.events.window(self.text("since"), self.text("until"))
        chosen = self.engine.events.subscribe(since, until, self.filters())
        async with self.stream() as out:
            await out.begin()
            async for event in chosen:
                await out.json(event)


_NO_BUILDER_SIZE = (1, 42)

ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/_ping", Ping),
    ("/version", Version),
    ("/info", Info),
    ("/events", Events),
    ("/system/df", DiskUsage),
]
