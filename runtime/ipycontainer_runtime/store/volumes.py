"""The records of volumes on disk, and the folders of those that are kept here.

A volume's folder is `volumes/<name>/`, with `volume.json`, and `_data` where its files are or its
own file system is mounted; one of a plugin's has no `_data`. It comes by one rename, so one that is
there is whole. The engine is the only writer: the index is read once.
"""

import logging
import os
import secrets
from pathlib import Path

import msgspec

from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.private import make_private
from ipycontainer_runtime.store.trash import Trash

LOCAL = "local"
"""The driver whose volumes are here."""

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody named, as Docker's engine has it since 23."""

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Volume(msgspec.Struct, kw_only=True, frozen=True):
    """What was asked for: `volume.json`, written once."""

    name: str
    driver: str
    created: str
    """RFC 3339, UTC, nanoseconds."""
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        """Whether nobody named it, so that it goes with the container that it was made for."""
        return ANONYMOUS in (self.labels or {})


_decode = msgspec.json.Decoder(Volume).decode


class VolumeStore:
    """Volume records under the data root, by name."""

    def __init__(self, root: Path, trash: Trash) -> None:
        self.folder = root / "volumes"
        self._trash = trash
        make_private(self.folder)
        self._volumes: dict[str, Volume] = {}
        for entry in os.scandir(self.folder):
            self._read(entry.name)

    def _read(self, name: str) -> None:
        if name.startswith("."):  # an engine was killed while it made this one
            self._trash.discard(self.folder / name)
            return
        try:
            # Empty where the machine lost its power: the record of an anonymous one is not synced.
            raw = (self.folder / name / "volume.json").read_bytes()
            volume = _decode(raw) if raw else Volume(name=name, driver=LOCAL, created="")
        except (OSError, msgspec.MsgspecError) as error:
            # It may hold what nobody has twice: never taken away unasked.
            _log.warning("%s: not a volume that this version reads: %s", self.folder / name, error)
        else:
            self._volumes[name] = volume

    def list(self) -> list[Volume]:
        """Return all volumes, in the order of their names."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def get(self, name: str) -> Volume | None:
        """Return the volume of this name."""
        return self._volumes.get(name)

    def data(self, name: str) -> str:
        """Return the folder that has a volume's files, or at which they are mounted."""
        return f"{self.folder}/{name}/_data"

    def create(self, volume: Volume, *, folder: bool) -> None:
        """Make a volume whose name is free; `folder` says that its files are here."""
        new = self.folder / f".{secrets.token_hex(8)}"
        new.mkdir(mode=0o701)
        if folder:
            (new / "_data").mkdir(mode=0o755)
            (new / "_data").chmod(0o755)  # whatever the umask
        durable = not volume.anonymous
        atomic.write(new / "volume.json", _encode(volume), mode=0o600, durable=durable)
        new.rename(self.folder / volume.name)
        if durable:
            atomic.sync_folder(self.folder)
        self._volumes[volume.name] = volume

    def discard(self, name: str) -> None:
        """Take a volume out of the index and its folder into the trash, by one rename."""
        if self._volumes.pop(name, None):
            self._trash.discard(self.folder / name)
