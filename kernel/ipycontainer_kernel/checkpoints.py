"""Checkpoints of a kernel's own container, for all kinds of kernels: one after every cell."""

from __future__ import annotations

from typing import Any

from ipycontainer.checkpoints import (
    Checkpoint,
    create,
    details,
    get,
    listed,
    remove,
    restore,
    summary,
)

__all__ = [
    "EVERY_CELL_KEPT",
    "Checkpoint",
    "after_cell",
    "create",
    "details",
    "get",
    "listed",
    "remove",
    "restore",
    "summary",
]

EVERY_CELL_KEPT = 500
"""How many of the checkpoints that cells leave are kept; older ones go."""

_STEM = "cell-"


def after_cell(api: Any, container: str, count: int) -> Checkpoint | None:
    """Keep what the cell with this number changed, if anything; the oldest of such may go."""
    names = [entry["Name"] for entry in listed(api, container)]
    name = free = f"{_STEM}{count}"
    again = 1
    while free in names:  # a kernel that was restarted counts its cells anew
        again += 1
        free = f"{name}-{again}"
    made = create(api, container, free, if_changed=True)
    if not made["Kept"]:
        return None
    of_cells = [known for known in names if known.startswith(_STEM)]
    for old in of_cells[: max(0, len(of_cells) + 1 - EVERY_CELL_KEPT)]:
        remove(api, container, old)
    return made
