"""Who waits for input, under /ipycontainer: Docker's API cannot tell."""

from contextlib import aclosing

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.wanted import wanted


class ContainerInput(EngineHandler):
    """GET /ipycontainer/containers/{id}/input."""

    async def get(self, reference: str) -> None:
        """Send {wanted, echo, line, process} at once and at each change, to the container's end."""
        container = self.engine.containers.get(reference)
        async with self.stream() as out, aclosing(wanted(container, None)) as entries:
            async for entry in entries:
                await out.json(entry)


class ExecInput(EngineHandler):
    """GET /ipycontainer/exec/{id}/input."""

    async def get(self, exec_id: str) -> None:
        """Send the same of an exec's input, to the exec's end."""
        found = self.engine.execs.unended(exec_id)
        async with self.stream() as out, aclosing(wanted(found.container, found.id)) as entries:
            async for entry in entries:
                await out.json(entry)


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/ipycontainer/containers/([^/]+)/input", ContainerInput),
    ("/ipycontainer/exec/([^/]+)/input", ExecInput),
]
