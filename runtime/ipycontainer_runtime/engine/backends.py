"""Which ownership and which snapshotter fit this machine and this data root."""

import os
from pathlib import Path

from ipycontainer_runtime.errors import Conflict
from ipycontainer_runtime.layers.mixed import MixedSnapshotter
from ipycontainer_runtime.layers.ownership import Mapped, Ownership, Single
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.linux.mounted import filesystem
from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.layers import LayerStore

_FILE = "ownership"


def choose_ownership(grade: Grade, root: Path) -> Ownership:
    """Return how ids are kept in this data root; the first engine there writes it down.

    Conflict when its files have owners of the other kind: they would all be wrong.
    """
    ownership = _fitting(grade)
    file = root / _FILE
    try:
        found = file.read_text().strip()
    except FileNotFoundError:
        # Data roots without the file were filled before there was a second kind.
        found = Mapped.name if any((root / "layers").glob("[0-9a-f]*")) else ""
    if found and found != ownership.name:
        raise Conflict(
            f"the files in {root} have {found} owners, and this engine ({grade.name}) would give"
            f" them {ownership.name} ones{_told(grade)}: choose another data root with"
            " IPYCONTAINER_ROOT, or remove this one"
        )
    if not found:
        durable = ownership.name != Mapped.name  # which is what a data root without it has
        atomic.write(file, f"{ownership.name}\n".encode(), durable=durable)
    return ownership


def choose_snapshotter(
    grade: Grade, layers: LayerStore, ownership: Ownership, root: Path
) -> Snapshotter:
    """Return how containers get their root: over an overlay, or from a copy where there is none."""
    if grade.runs_nothing or (not grade.rootless and not _on_overlay(root)):
        return MixedSnapshotter(layers, ownership)
    from ipycontainer_runtime.linux import probes  # which root need not wait for

    refused = probes.overlay_refusal(root)
    why = f"{refused.filename}: {refused.strerror}" if refused else ""
    return MixedSnapshotter(layers, ownership, why)


def _on_overlay(root: Path) -> bool:
    return filesystem(str(root)) == "overlay"


def _fitting(grade: Grade) -> Ownership:
    if grade.one_id:
        return Single()
    if grade.runs_nothing and os.geteuid() != 0:
        return Single(rooted=False)
    return Mapped(rootless=grade.rootless)


def _told(grade: Grade) -> str:
    return f" ({grade.reason})" if grade.reason else ""
