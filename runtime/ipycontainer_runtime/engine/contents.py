"""What images are made of: each layer's files, and what of them nobody can see."""

import asyncio
import fnmatch
import re
import stat
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ipycontainer_runtime.engine.imageviews import epoch, layers_with_steps
from ipycontainer_runtime.engine.memory import give_back
from ipycontainer_runtime.errors import InvalidParameter, NotFound
from ipycontainer_runtime.layers.contents import (
    Contents,
    LayerContents,
    Named,
    Tally,
    Wanted,
    Waste,
)
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore

MOST = 10_000
"""Names that are listed at most."""

_KEPT = 8
"""Images whose summary is kept: layers never change, and a walk of a large one takes seconds."""

Document = dict[str, Any]


class ImageContents:
    """Looks into the unpacked layers of images; one at a time, on a thread."""

    def __init__(
        self, *, image_store: ImageStore, layers: LayerStore, ownership: Ownership
    ) -> None:
        self._images = image_store
        self._layers = layers
        self._prefix = ownership.overlay_prefix
        self._turn = asyncio.Lock()
        self._known: OrderedDict[tuple[str, ...], Document] = OrderedDict()

    async def of(self, name: str, *, layer: int = 0, find: str = "", limit: int = 100) -> Document:
        """Return GET /ipycontainer/images/{name}/layers.

        With `layer`, counted from 1, or `find`, a shell pattern or a part of a path, it has the
        `limit` largest names that these choose.
        """
        record = self._images.resolve(name)
        if not 0 <= layer <= len(record.chain_ids):
            raise InvalidParameter(f"{name} has {len(record.chain_ids)} layers, not {layer}")
        if not 0 < limit <= MOST:
            raise InvalidParameter(f"invalid limit {limit}: 1 to {MOST} files can be listed")
        wanted = _Chosen(layer, find, limit) if layer or find else None
        async with self._turn:
            counted = await self._counted(record, wanted)
        made = layers_with_steps(record.chain_ids, record, self._layers)
        return {
            **self._head(record),
            **counted,
            "Layers": [step | layer for step, layer in zip(made, counted["Layers"], strict=True)],
            "Listed": None if wanted is None else _listed(wanted),
        }

    def _head(self, record: ImageRecord) -> Document:
        return {
            "Id": record.id,
            "Names": list(record.names),
            "Metadata": [
                {"CreatedBy": step.created_by, "Created": epoch(step.created)}
                for step in record.config.history or ()
                if step.empty_layer
            ],
        }

    async def _counted(self, record: ImageRecord, wanted: Wanted | None) -> Document:
        chain = record.chain_ids
        if wanted is None and (known := self._known.get(chain)) is not None:
            self._known.move_to_end(chain)
            return known
        try:
            found = await asyncio.to_thread(self._walk, chain, wanted)
        except FileNotFoundError as error:
            raise NotFound(f"the image {record.id} was removed meanwhile") from error
        self._known[chain] = counted = _summary(found)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return counted

    def _walk(self, chain: Sequence[str], wanted: Wanted | None) -> Contents:
        try:
            folders = [self._layers.diff(chain_id) for chain_id in chain]
            return Contents(folders, self._prefix, wanted)
        finally:
            give_back()


class _Chosen(Wanted):
    """Names of one layer, of all with 0, that fit a pattern, or all with an empty one."""

    def __init__(self, layer: int, find: str, most: int) -> None:
        super().__init__(most)
        self._layer = layer
        self._fits = _pattern(find) if find else None

    def takes(self, layer: int, path: bytes) -> bool:
        """Tell whether it is a name of that layer that fits."""
        if self._layer and layer != self._layer:
            return False
        return self._fits is None or self._fits.search(b"/" + path) is not None


def _pattern(find: str) -> re.Pattern[bytes]:
    """Return what finds a path: a shell pattern for all of it or for its last part, or a part."""
    if not any(character in find for character in "*?["):
        return re.compile(re.escape(find.encode()))
    top = b"" if find.startswith("/") else b"/"
    body = fnmatch.translate(find)
    try:
        return re.compile(b"(?:^|(?<=.))" + top + body.encode())
    except re.error as error:
        raise InvalidParameter(f"invalid pattern {find!r}: {error}") from error


def _summary(found: Contents) -> Document:
    size = found.size
    return {
        "Size": size,
        "Files": found.files,
        "Wasted": found.wasted,
        "Efficiency": 1 - found.wasted / size if size else 1.0,
        "Layers": [
            {"Number": number, **_layer(layer)} for number, layer in enumerate(found.layers, 1)
        ],
        "WastedFiles": [_wasted(path, waste) for path, waste in found.most_wasted()],
    }


def _layer(layer: LayerContents) -> Document:
    return {
        "Added": _tally(layer.added),
        "Changed": _tally(layer.changed),
        "Removed": _tally(layer.removed),
        "Hidden": layer.hidden,
        "Largest": [_name(name) for name in sorted(layer.largest, reverse=True)],
    }


def _tally(tally: Tally) -> Document:
    return {"Files": tally.files, "Size": tally.size}


def _wasted(path: bytes, waste: Waste) -> Document:
    return {
        "Path": _path(path),
        "Size": waste.size,
        "Layers": waste.layers,
        "HiddenBy": waste.hidden_by,
    }


def _listed(wanted: Wanted) -> Document:
    names = [_name(name) for name in wanted.names]
    return {"Total": _tally(wanted.total), "Names": names}


def _name(name: Named) -> Document:
    return {
        "Layer": name.layer,
        "Kind": name.kind,
        "Path": _path(name.path),
        "Size": name.size,
        "Mode": stat.filemode(name.mode) if name.mode else "",
        "HiddenBy": name.file.hidden_by if name.file else 0,
    }


def _path(path: bytes) -> str:
    return "/" + path.decode(errors="backslashreplace")
