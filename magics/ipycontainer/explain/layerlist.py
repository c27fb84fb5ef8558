"""What an image is made of, layer by layer, as text and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..failures import one_line
from ..listing import Listing, align
from ..units import ago, counted, decimal_size
from .facts import Section

Document = Mapping[str, Any]

_SHOWN_WASTE = 10
_STEP_WIDTH = 60
_NOTHING = "-"
KINDS = {"A": "added", "C": "changed", "D": "removed"}

UNSEEN = (
    "This engine tells the layers' commands and sizes alone: which files each adds, changes and "
    "removes, and what is wasted, cannot be seen here; ipycontainer's own engine tells it."
)


class Layers(Listing[dict[str, Any]]):
    """The layers of an image; the list holds what the engine tells of each, lowest first.

    With `listed` the engine was asked for names: the list holds those instead.
    """

    def __init__(self, image: str, document: Document) -> None:
        self.listed = document.get("Listed")
        super().__init__(self.listed["Names"] if self.listed else document["Layers"])
        self.document = document
        self.title = one_line(image)
        self.known = document.get("Files") is not None
        self.summary = self._summary()
        self.sections = self._sections()

    def _summary(self) -> str:
        document = self.document
        layers = counted(len(document["Layers"]), "layer")
        if not self.known:
            return f"{decimal_size(document['Size'])} in {layers}"
        wasted, share = decimal_size(document["Wasted"]), document["Efficiency"] * 100
        return (
            f"{decimal_size(document['Size'])} in {layers}, "
            f"{counted(document['Files'], 'file')} to be seen; {wasted} wasted on files that a "
            f"later layer hides ({share:.1f} % efficient)"
        )

    def _sections(self) -> list[Section]:
        if self.listed:
            return [_names(self.listed)]
        found = [_layers(self.document["Layers"], known=self.known)]
        if self.known and self.document["WastedFiles"]:
            found.append(_waste(self.document["WastedFiles"]))
        return found

    def text(self) -> str:
        """Return the summary and the tables under it."""
        blocks = [f"{self.title}: {self.summary}"]
        for section in self.sections:
            rows = [[one_line(cell) for cell in row] for row in section.rows]
            blocks += ["", section.meaning, align([[h.upper() for h in section.headings], *rows])]
        return "\n".join([*blocks, *([] if self.known else ["", UNSEEN])])

    def html(self) -> str:
        """Return the figure; it needs no script."""
        from .layerfigure import layers

        return layers(self)


def _layers(layers: Sequence[Document], *, known: bool) -> Section:
    if not known:
        rows = [[str(n["Number"]), decimal_size(n["Size"]), step(n)] for n in layers]
        return Section("Layers", "Lowest first.", ("layer", "size", "created by"), rows)
    rows = [
        [
            str(layer["Number"]),
            decimal_size(layer["Size"]),
            *(tally(layer[name]) for name in ("Added", "Changed", "Removed")),
            decimal_size(layer["Hidden"]) if layer["Hidden"] else _NOTHING,
            when(layer),
            step(layer),
        ]
        for layer in layers
    ]
    headings = ("layer", "size", "added", "changed", "removed", "hidden", "created", "created by")
    return Section("Layers", "Lowest first; hidden is what later layers replace or remove.",
                   headings, rows)  # fmt: skip


def when(layer: Document) -> str:
    """Return how long ago a layer was made; nothing where the image does not say."""
    return ago(layer["Created"]) if layer["Created"] > 0 else _NOTHING


def step(layer: Document) -> str:
    """Return the command that made a layer, cut short."""
    command = one_line(layer["CreatedBy"]) or layer["Digest"]
    return command if len(command) <= _STEP_WIDTH else command[: _STEP_WIDTH - 1] + "…"


def tally(found: Document) -> str:
    """Return files and their bytes: `12 (3.4MB)`."""
    if not found["Files"]:
        return _NOTHING
    return f"{found['Files']} ({decimal_size(found['Size'])})"


def _waste(wasted: Sequence[Document]) -> Section:
    rows = [
        [
            decimal_size(entry["Size"]),
            " ".join(map(str, entry["Layers"])),
            " ".join(map(str, entry["HiddenBy"])),
            entry["Path"],
        ]
        for entry in wasted[:_SHOWN_WASTE]
    ]
    more = f", the largest {_SHOWN_WASTE}" if len(wasted) > _SHOWN_WASTE else ""
    return Section("Wasted", f"Stored, and hidden by a later layer{more}.",
                   ("size", "in layer", "hidden by", "path"), rows)  # fmt: skip


def _names(listed: Document) -> Section:
    names, total = listed["Names"], listed["Total"]
    rows = [
        [
            str(entry["Layer"]),
            KINDS.get(entry["Kind"], entry["Kind"]),
            decimal_size(entry["Size"]),
            entry["Mode"],
            f"layer {entry['HiddenBy']}" if entry["HiddenBy"] else "",
            entry["Path"],
        ]
        for entry in names
    ]
    count = counted(total["Files"], "name")
    meaning = f"{count}, {decimal_size(total['Size'])}"
    if len(names) < total["Files"]:
        meaning += f"; the {len(names)} largest (-n shows more)"
    headings = ("layer", "what", "size", "mode", "hidden by", "path")
    return Section("Files", f"{meaning}.", headings, rows)


def elsewhere(history: Sequence[Document]) -> dict[str, Any]:
    """Return what `history` tells in the shape of our engine's reply."""
    made = [entry for entry in reversed(history) if entry["Size"]]
    layers = [
        {
            "Number": number,
            "Size": entry["Size"],
            "CreatedBy": entry["CreatedBy"],
            "Created": entry["Created"],
            "Digest": entry["Id"],
        }
        for number, entry in enumerate(made, 1)
    ]
    size = sum(entry["Size"] for entry in made)
    return {"Size": size, "Files": None, "Layers": layers, "Metadata": [], "Listed": None}
