"""What a stage is after each of its steps: its config, its layers, its history."""

from dataclasses import dataclass, field, replace

from ipycontainer_runtime.engine.building.config import Described, with_path
from ipycontainer_runtime.engine.building.layering import Layer, Stack
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.store.images import ImageRecord


@dataclass(frozen=True)
class State:
    """A stage between two steps. Its layers may still be on their way to their blobs."""

    platform: Platform
    described: Described = field(default_factory=Described)
    stack: Stack = ()
    history: tuple[model.History, ...] = ()
    created: str = ""
    base: ImageRecord | None = None
    """The image that it began with."""
    keys: tuple[str, ...] = ()
    """Under which its steps are in the cache."""

    def after(
        self,
        described: Described,
        told: str,
        created: str,
        layer: Layer | None = None,
    ) -> "State":
        """Return the state after a step that is `told` so in the history."""
        entry = model.History(
            created=created,
            created_by=told,
            author=described.author,
            empty_layer=layer is None,
        )
        stack = self.stack if layer is None else (*self.stack, layer)
        history = (*self.history, entry)
        return replace(self, described=described, stack=stack, history=history, created=created)

    def heir(self) -> "State":
        """Return the state that a stage based on this one begins with."""
        return replace(
            self, described=replace(self.described, command_set=False).changed(on_build=None)
        )

    async def document(self) -> model.ImageConfig:
        """Return the image config that it comes to, once all layers are packed."""
        diff_ids = tuple([(await layer.finished).diff_id for layer in self.stack])
        return model.ImageConfig(
            architecture=self.platform.architecture,
            os=self.platform.os,
            variant=self.platform.variant or "",
            created=self.created or None,
            author=self.described.author,
            config=self.described.config,
            rootfs=model.RootFs(diff_ids=diff_ids),
            history=self.history,
        )

    async def image(self) -> str:
        """Return the id of the image that it comes to; a base image's own while it is that."""
        if self.base is not None and not self.keys:
            return self.base.id
        return digests.of(model.encode(await self.document()))

    async def chain(self) -> str:
        """Return the chain id of its uppermost layer; empty for none."""
        return (await self.stack[-1].finished).chain_id if self.stack else ""


def of_image(record: ImageRecord, stack: Stack) -> State:
    """Return the state that FROM an image begins with; its triggers are not its heirs'."""
    config = record.config
    described = with_path(Described(config.defaults, config.author).changed(on_build=None))
    return State(
        platform=config.platform,
        described=described,
        stack=stack,
        history=config.steps,
        created=record.created,
        base=record,
    )
