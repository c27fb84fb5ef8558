"""Images as archives: GET /images/{name}/get and /images/get, POST /images/load."""

from contextlib import AbstractAsyncContextManager, aclosing

from ipycontainer_runtime.api.archive import TAR
from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.bodies import StreamedBody, send
from ipycontainer_runtime.api.newimages import wanted_platform
from ipycontainer_runtime.engine.loading import Load


class Save(EngineHandler):
    """GET /images/{name}/get, and /images/get?names=NAME for several."""

    async def get(self, name: str = "") -> None:
        """Send images as one archive."""
        names = [name] if name else self.get_query_arguments("names", strip=False)
        async with self.engine.saves.save(names, wanted_platform(self)) as out:
            await send(self, out, TAR)


class LoadImages(StreamedBody[Load]):
    """POST /images/load."""

    def begin(self) -> AbstractAsyncContextManager[Load]:
        """Take an archive as it arrives."""
        return self.engine.loads.load()

    async def post(self) -> None:
        """Make its images, streaming the progress."""
        async with self._stack:
            told = self.body().finish(wanted_platform(self), quiet=self.flag("quiet"))
            async with self.stream() as out, aclosing(told):
                async for message in told:
                    await out.json(message)


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/images/get", Save),
    (r"/images/(.+)/get", Save),
    ("/images/load", LoadImages),
]
