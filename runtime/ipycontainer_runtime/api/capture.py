"""POST /ipycontainer/capture: an image of the environment that a notebook runs in."""

from contextlib import aclosing

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.oci.reference import Reference


class Capture(EngineHandler):
    """`?name=NAME[:TAG]&python=/path/of/python`; answers with progress as a pull does."""

    async def post(self) -> None:
        """Capture, name, and tell how far it is."""
        reference = Reference.parse(self.text("name", "host"))
        captured = self.engine.captures.capture(reference, self.text("python") or None)
        async with self.stream() as out, aclosing(captured):
            async for message in captured:
                await out.json(message)


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/ipycontainer/capture", Capture)]
