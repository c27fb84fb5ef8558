"""A container's checkpoints: its files, kept and given back. Docker's are of processes."""

import msgspec

from ipycontainer_runtime.api.base import EngineHandler


class NewCheckpoint(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """The body of a creation."""

    name: str = ""
    """Left empty for `checkpoint-N`."""
    pause: bool = True
    if_changed: bool = False
    """Keep nothing where nothing changed."""


class All(EngineHandler):
    """/ipycontainer/containers/{id}/checkpoints."""

    async def get(self, reference: str) -> None:
        """Answer with all of them, oldest first."""
        self.reply(await self.engine.checkpoints.list(reference))

    async def post(self, reference: str) -> None:
        """Make one and answer with it and what it changed."""
        asked = self.body_json(NewCheckpoint) if self.request.body.strip() else NewCheckpoint()
        made = await self.engine.checkpoints.create(
            reference, asked.name, pause=asked.pause, if_changed=asked.if_changed
        )
        self.reply(made, 201)


class One(EngineHandler):
    """/ipycontainer/containers/{id}/checkpoints/{name}."""

    async def get(self, reference: str, name: str) -> None:
        """Answer with it and what it changed."""
        self.reply(await self.engine.checkpoints.get(reference, name))

    async def delete(self, reference: str, name: str) -> None:
        """Forget it."""
        await self.engine.checkpoints.remove(reference, name)
        self.empty()


class Restore(EngineHandler):
    """POST /ipycontainer/containers/{id}/checkpoints/{name}/restore."""

    async def post(self, reference: str, name: str) -> None:
        """Give the container its files; `start` says whether it runs then, else as it did."""
        start = self.flag("start") if self.text("start") else None
        await self.engine.checkpoints.restore(reference, name, start=start)
        self.empty()


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/ipycontainer/containers/([^/]+)/checkpoints", All),
    ("/ipycontainer/containers/([^/]+)/checkpoints/([^/]+)", One),
    ("/ipycontainer/containers/([^/]+)/checkpoints/([^/]+)/restore", Restore),
]
