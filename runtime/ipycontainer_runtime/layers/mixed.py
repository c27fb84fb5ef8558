"""The roots of a data root that has been used both where overlays can be mounted and where not.

Each container keeps the kind of root that it was made with. A copy works everywhere. An overlay
that cannot be mounted any more can still be looked through: its upper folder has what was changed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ipycontainer_runtime.errors import Conflict
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.layers.snapshot import CopySnapshotter, OverlaySnapshotter, Snapshotter
from ipycontainer_runtime.layers.upper import Node
from ipycontainer_runtime.oci.runtime import Mount
from ipycontainer_runtime.store.checkpoints import Tree
from ipycontainer_runtime.store.layers import LayerStore


class MixedSnapshotter:
    """Overlays or, where `refusal` says why none can be mounted, copies; and what there is."""

    def __init__(self, layers: LayerStore, ownership: Ownership, refusal: str = "") -> None:
        self._overlay = OverlaySnapshotter(layers, ownership)
        self._copy = CopySnapshotter(layers, ownership)
        self._new: Snapshotter = self._copy if refusal else self._overlay
        self._refusal = refusal
        self.name, self.slow = self._new.name, self._new.slow

    def _of(self, container: Path) -> Snapshotter:
        return self._copy if self._copy.made(container) else self._overlay

    def prepare(self, container: Path, chain_ids: Sequence[str]) -> list[Mount]:
        """Make the container's own folders and return the mounts of its root."""
        return self._new.prepare(container, chain_ids)

    def mounts(
        self, container: Path, chain_ids: Sequence[str], *, transient: bool = False
    ) -> list[Mount]:
        """Return the mounts of a prepared container's root; Conflict when they cannot be made."""
        kept = self._of(container)
        if kept is self._overlay and self._refusal:
            raise Conflict(
                f"the container stands on an overlay, and none can be mounted here"
                f" ({self._refusal}): start the engine where it could, or remove the container"
            )
        return kept.mounts(container, chain_ids, transient=transient)

    def walk(self, container: Path, chain_ids: Sequence[str]) -> Iterator[tuple[Node, bool]]:
        """Yield what the container changed."""
        return self._of(container).walk(container, chain_ids)

    def lowers(self, chain_ids: Sequence[str]) -> list[Path]:
        """Return the layers' folders, uppermost first, without the mount points' layer."""
        return self._new.lowers(chain_ids)

    def usage(self, container: Path, chain_ids: Sequence[str]) -> int:
        """Return the bytes of the files that the container changed."""
        return self._of(container).usage(container, chain_ids)

    def is_half(self, container: Path) -> bool:
        """Tell whether what is made last is missing."""
        return self._new.is_half(container)

    def graph(self, container: Path, chain_ids: Sequence[str]) -> dict[str, str] | None:
        """Return what `inspect` tells of the root."""
        return self._of(container).graph(container, chain_ids)

    def touched(
        self, container: Path, chain_ids: Sequence[str], known: Tree, live: Tree
    ) -> Iterator[tuple[Node, bool]]:
        """Walk what was changed since `known`."""
        return self._of(container).touched(container, chain_ids, known, live)

    def restore(
        self, container: Path, chain_ids: Sequence[str], root: Path, tree: Tree, pool: Path
    ) -> None:
        """Make what a container stands on that is restored to `tree`."""
        self._of(container).restore(container, chain_ids, root, tree, pool)
