"""Containers' files as archives: HEAD, GET and PUT archive, and export."""

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

from tornado.web import stream_request_body

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.archives import Extraction, Incoming, Outgoing
from ipycontainer_runtime.errors import ContainerError, InvalidParameter

_TAR = "application/x-tar"
_STAT = "X-Docker-Container-Path-Stat"
_LARGEST_ARCHIVE = 256 << 30
"""Bytes that a client may send; the unpacking has bounds of its own."""


@stream_request_body
class Archive(EngineHandler):
    """HEAD, GET and PUT /containers/{id}/archive.

    A body is unpacked as it arrives. What is wrong is said once all of it has come: a client that
    writes into a closed connection does not read why.
    """

    def initialize(self) -> None:
        """Take the engine; nothing is unpacked yet."""
        super().initialize()
        self._stack = AsyncExitStack()
        self._incoming: Incoming | None = None
        self._refusal: ContainerError | None = None

    async def prepare(self) -> None:  # type: ignore[override] # tornado awaits what it returns
        """Begin to unpack before the body comes."""
        super().prepare()
        if self.request.method != "PUT":
            return
        self._connection().set_max_body_size(_LARGEST_ARCHIVE)
        try:
            asked = Extraction(
                self._path(), self.flag("noOverwriteDirNonDir"), self.flag("copyUIDGID")
            )
            opened = self.engine.archives.write(self.path_args[0], asked)
            self._incoming = await self._stack.enter_async_context(opened)
        except ContainerError as error:
            self._refusal = error

    def _path(self) -> str:
        if path := self.text("path"):
            return path
        raise InvalidParameter("bad parameter: path cannot be empty")

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Hand on what came of the body."""
        return None if self._incoming is None else self._incoming.put(chunk)

    async def put(self, _reference: str) -> None:
        """Answer once everything is unpacked."""
        if self._refusal is not None:
            raise self._refusal
        assert self._incoming is not None, "a PUT begins in prepare"
        async with self._stack:
            await self._incoming.result()
        self.empty(200)

    async def head(self, reference: str) -> None:
        """Say what a path is, in a header."""
        found = await self.engine.archives.stat(reference, self._path())
        self.set_header(_STAT, found.header())
        self.empty(200)

    async def get(self, reference: str) -> None:
        """Send a path and all below it."""
        async with self.engine.archives.read(reference, self._path()) as out:
            if out.stat is not None:
                self.set_header(_STAT, out.stat.header())
            await _send(self, out, _TAR)

    async def _execute(self, transforms: list[Any], *args: bytes, **kwargs: bytes) -> None:
        """Run the handler, then let go of what a client that went away was sending."""
        try:
            await super()._execute(transforms, *args, **kwargs)
        finally:
            await self._stack.aclose()


class Export(EngineHandler):
    """GET /containers/{id}/export."""

    async def get(self, reference: str) -> None:
        """Send a container's whole root."""
        async with self.engine.archives.export(reference) as out:
            await _send(self, out, "application/octet-stream")


async def _send(handler: EngineHandler, out: Outgoing, content_type: str) -> None:
    async with handler.stream(content_type) as stream:
        async for chunk in out.chunks():
            await stream.raw(chunk)


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    (r"/containers/([^/]+)/archive", Archive),
    (r"/containers/([^/]+)/export", Export),
]
