"""POST /build and POST /build/prune."""

from collections.abc import Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tornado.web import stream_request_body

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.building.request import BuildRequest, parse
from ipycontainer_runtime.errors import ContainerError

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.context import Context

_LARGEST_CONTEXT = 256 << 30
"""Bytes that a client may send; the unpacking has bounds of its own."""


@stream_request_body
class BuildImage(EngineHandler):
    """POST /build. The context is unpacked as it arrives; what is wrong is said once it has."""

    def initialize(self) -> None:
        """Take the engine; nothing is unpacked yet."""
        super().initialize()
        self._context: Context | None = None
        self._asked: BuildRequest | None = None
        self._refusal: ContainerError | None = None

    def prepare(self) -> None:
        """Read what is asked, and begin to unpack before the body comes."""
        super().prepare()
        self._connection().set_max_body_size(_LARGEST_CONTEXT)
        try:
            query = {name: self.get_query_arguments(name, strip=False) for name in self._names()}
            self._asked = parse(query, self.request.headers)
            self._context = self.engine.builds.context()
        except ContainerError as error:
            self._refusal = error

    def _names(self) -> list[str]:
        return list(self.request.query_arguments)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Hand on what came of the body."""
        return None if self._context is None else self._context.put(chunk)

    async def post(self) -> None:
        """Build, and tell of it as it goes."""
        if self._refusal is not None:
            raise self._refusal
        assert self._context is not None, "prepare made it, or refused"
        assert self._asked is not None, "prepare read it, or refused"
        async with self.stream() as stream:
            async with aclosing(self.engine.builds.build(self._asked, self._context)) as messages:
                async for message in messages:
                    await stream.json(message)

    async def _execute(self, transforms: list[Any], *args: bytes, **kwargs: bytes) -> None:
        """Run the handler, then let go of the context, also of a client that went away."""
        try:
            await super()._execute(transforms, *args, **kwargs)
        finally:
            if self._context is not None:
                await self.engine.builds.discard(self._context)


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/build", BuildImage)]
