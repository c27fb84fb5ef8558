"""Containers' files as archives: HEAD, GET and PUT archive, and export."""

from contextlib import AbstractAsyncContextManager

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.bodies import StreamedBody, send
from ipycontainer_runtime.engine.archives import Extraction
from ipycontainer_runtime.engine.piped import Incoming
from ipycontainer_runtime.errors import InvalidParameter

TAR = "application/x-tar"
_STAT = "X-Docker-Container-Path-Stat"


class Archive(StreamedBody[Incoming[None]]):
    """HEAD, GET and PUT /containers/{id}/archive."""

    def begin(self) -> AbstractAsyncContextManager[Incoming[None]] | None:
        """Unpack a body as it arrives."""
        if self.request.method != "PUT":
            return None
        asked = Extraction(self._path(), self.flag("noOverwriteDirNonDir"), self.flag("copyUIDGID"))
        return self.engine.archives.write(self.path_args[0], asked)

    def _path(self) -> str:
        if path := self.text("path"):
            return path
        raise InvalidParameter("bad parameter: path cannot be empty")

    async def put(self, _reference: str) -> None:
        """Answer once everything is unpacked."""
        async with self._stack:
            await self.body().result()
        self.empty(200)

    async def head(self, reference: str) -> None:
        """Say what a path is, in a header."""
        found = await self.engine.archives.stat(reference, self._path())
        self.set_header(_STAT, found.header())
        self.empty(200)

    async def get(self, reference: str) -> None:
        """Send a path and all below it."""
        async with self.engine.archives.read(reference, self._path()) as out:
            if out.said is not None:
                self.set_header(_STAT, out.said.header())
            await send(self, out, TAR)


class Export(EngineHandler):
    """GET /containers/{id}/export."""

    async def get(self, reference: str) -> None:
        """Send a container's whole root."""
        async with self.engine.archives.export(reference) as out:
            await send(self, out, "application/octet-stream")


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    (r"/containers/([^/]+)/archive", Archive),
    (r"/containers/([^/]+)/export", Export),
]
