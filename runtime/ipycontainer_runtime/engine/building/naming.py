"""What a build leaves: the image of its last state, or of that before a step that failed."""

import asyncio
from typing import TYPE_CHECKING

from ipycontainer_runtime.engine.building.request import BuildRequest
from ipycontainer_runtime.engine.building.state import State
from ipycontainer_runtime.engine.composing import compose
from ipycontainer_runtime.engine.garbage import Made
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.store.images import ImageRecord

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.builds import Builds


async def name(builds: "Builds", request: BuildRequest, state: State, made: Made) -> ImageRecord:
    """Write the image of a state and give it the names that were asked for."""
    store = builds.image_store
    known = store.find(await state.image())
    if known is not None and known.chain_ids and set(request.tags) <= set(known.references):
        return known  # nothing is to be written
    descriptor = await _write(builds, state, made)
    parent = state.base.id if state.base is not None else ""
    record = store.add(descriptor, request.tags, parent=parent)
    labels = record.config.defaults.labels or {}
    for tag in request.tags:
        attributes = {**labels, "name": tag.familiar}
        builds.events.publish("image", "tag", record.id, attributes)
    return record


async def keep(builds: "Builds", before: State, made: Made) -> str:
    """Keep the state before a step that failed as an image without a name; return its id."""
    if before.base is not None and not before.keys:
        return before.base.id
    if not before.stack:
        return ""
    descriptor = await _write(builds, before, made)
    parent = before.base.id if before.base is not None else ""
    return builds.image_store.add(descriptor, parent=parent).id


async def _write(builds: "Builds", state: State, made: Made) -> model.Descriptor:
    document = await state.document()
    layers = [(await layer.finished).blob for layer in state.stack]
    docker = state.base is not None and state.base.manifest.media_type == model.DOCKER_MANIFEST

    def write() -> model.Descriptor:
        return compose(document, layers, blobs=builds.blobs, made=made, docker=docker).descriptor

    return await asyncio.to_thread(write)
