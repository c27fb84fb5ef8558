"""POST /build."""

from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.bodies import StreamedBody
from ipycontainer_runtime.engine.building.request import BuildRequest, parse

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.context import Context


class BuildImage(StreamedBody["Context"]):
    """POST /build. The context is unpacked as it arrives."""

    def begin(self) -> "AbstractAsyncContextManager[Context]":
        """Read what is asked, and begin to unpack."""
        names = list(self.request.query_arguments)
        query = {name: self.get_query_arguments(name, strip=False) for name in names}
        self._asked: BuildRequest = parse(query, self.request.headers)
        return self.engine.builds.context()

    async def post(self) -> None:
        """Build, and tell of it as it goes."""
        context = self.body()
        async with self.stream() as stream:
            async with aclosing(self.engine.builds.build(self._asked, context)) as messages:
                async for message in messages:
                    await stream.json(message)


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/build", BuildImage)]
