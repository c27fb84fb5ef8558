"""The seam behind which every kind of volume stands: a driver is one file.

A volume is created once, mounted for each run of each container that uses it, under a word that is
the run's own, and unmounted by the same word; it has one path while anybody has it mounted. All
methods but `path` may block and are called on a thread. Each may be called again after an engine
was killed in the middle of it: what is there already is no error, and what is gone is none either.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from ipycontainer_runtime.store.volumes import Volume


class Known(NamedTuple):
    """What a driver tells of one of its volumes."""

    name: str
    mountpoint: str = ""
    created: str = ""
    """RFC 3339; empty where the driver does not say."""
    status: dict[str, Any] | None = None


class Driver(Protocol):
    """Keeps volumes."""

    name: str
    """As in `volume create --driver`."""

    def check(self, volume: Volume) -> None:
        """Refuse a volume that cannot be made: InvalidParameter, naming the option."""

    def create(self, volume: Volume) -> None:
        """Make it; the engine's own record of it follows."""

    def remove(self, volume: Volume) -> None:
        """Remove it; the engine's own record, and a folder beside that, go afterwards."""

    def path(self, volume: Volume) -> str:
        """Return where its files are, or would be; empty while nobody has it mounted."""

    def mount(self, volume: Volume, word: str) -> str:
        """Return where its files are from now on, a path without symlinks."""

    def unmount(self, volume: Volume, word: str, *, last: bool) -> None:
        """Undo one `mount`; `last` says that no other is left."""

    def find(self, name: str) -> Known | None:
        """Return what the driver itself knows of a volume, None where it has none of this name."""

    def known(self) -> Iterable[Known]:
        """Return the volumes that the driver has, also those that this engine did not make."""

    def scope(self) -> str:
        """Return `local`, or `global` where other machines see the same volumes."""
