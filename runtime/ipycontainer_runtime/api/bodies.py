"""Requests whose body is read while it arrives, and archives that are answered as they are made."""

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Generic, Protocol, TypeVar

from tornado.web import stream_request_body

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.piped import Outgoing
from ipycontainer_runtime.errors import ContainerError

LARGEST = 256 << 30
"""Bytes that a client may send; the unpacking has bounds of its own."""


class Taker(Protocol):
    """Takes what comes of a body."""

    async def put(self, chunk: bytes) -> None:
        """Hand on the next bytes."""
        ...


Body = TypeVar("Body", bound=Taker)


@stream_request_body
class StreamedBody(EngineHandler, Generic[Body]):
    """A handler that `begin`s to read before the body comes.

    What is wrong is said once all of it has come: a client that writes into a closed connection
    does not read why.
    """

    def initialize(self) -> None:
        """Take the engine; nothing is read yet."""
        super().initialize()
        self._stack = AsyncExitStack()
        self._body: Body | None = None
        self._refusal: ContainerError | None = None

    def begin(self) -> AbstractAsyncContextManager[Body] | None:
        """Return what reads the body; None for a request that has none to be read."""
        raise NotImplementedError

    async def prepare(self) -> None:  # type: ignore[override] # tornado awaits what it returns
        """Begin to read before the body comes."""
        super().prepare()
        try:
            if (begun := self.begin()) is not None:
                self._connection().set_max_body_size(LARGEST)
                self._body = await self._stack.enter_async_context(begun)
        except ContainerError as error:
            self._connection().set_max_body_size(LARGEST)  # all of it comes before the answer
            self._refusal = error

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Hand on what came of the body."""
        return None if self._body is None else self._body.put(chunk)

    def body(self) -> Body:
        """Return what reads the body, all of which has come; raises what hindered it."""
        if self._refusal is not None:
            raise self._refusal
        assert self._body is not None, "begin() returns a reader for this request"
        return self._body

    async def _execute(self, transforms: list[Any], *args: bytes, **kwargs: bytes) -> None:
        """Run the handler, then let go of what a client that went away was sending."""
        try:
            await super()._execute(transforms, *args, **kwargs)
        finally:
            await self._stack.aclose()


async def send(handler: EngineHandler, out: Outgoing[Any], content_type: str) -> None:
    """Answer with an archive; one that cannot be finished ends with the connection."""
    async with handler.stream(content_type) as stream:
        try:
            async for chunk in out.chunks():
                await stream.raw(chunk)
        except ContainerError:
            if not stream.begun:
                raise
            handler.cut()
