"""Which layer was made of what: captures find here what need not be read and packed again.

It is a memory and no more: what it names may be gone from the store, and when it is lost itself the
next capture makes the same layers again.
"""

import threading
from pathlib import Path
from typing import TypeVar

import msgspec

from ipycontainer_runtime.store import atomic

_Kept = TypeVar("_Kept")

MOST = 500
"""Layers that are remembered; those that were not asked for longest are forgotten first."""


class Kept(msgspec.Struct, frozen=True):
    """One layer that was made: its blob, and what the archive in it hashes to."""

    digest: str
    size: int
    diff_id: str
    created: str
    carries: str = ""
    """A digest of what it holds beside what its fingerprint tells of."""


class _Content(msgspec.Struct):
    layers: dict[str, Kept] = {}
    needs: dict[str, list[str]] = {}


class Captured:
    """The file `captures.json` of a data root; any thread may ask."""

    def __init__(self, root: Path) -> None:
        self._path = root / "captures.json"
        self._lock = threading.Lock()
        self._content: _Content | None = None

    def layer(self, fingerprint: str) -> Kept | None:
        """Return the layer that was made of what has this fingerprint."""
        with self._lock:
            return self._read().layers.get(fingerprint)

    def needs(self) -> dict[str, list[str]]:
        """Return what libraries programs were found to need, by the programs' fingerprints."""
        with self._lock:
            return dict(self._read().needs)

    def keep(self, layers: dict[str, Kept], needs: dict[str, list[str]]) -> None:
        """Remember what a capture made, or found made already."""
        with self._lock:
            content = self._read()
            changed = _Content(_newest(content.layers, layers), _newest(content.needs, needs))
            if changed != content:
                atomic.write(self._path, msgspec.json.encode(changed), durable=False)
            self._content = changed

    def _read(self) -> _Content:
        if self._content is None:
            try:
                self._content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
            except (OSError, msgspec.MsgspecError):
                self._content = _Content()
        return self._content


def _newest(known: dict[str, _Kept], added: dict[str, _Kept]) -> dict[str, _Kept]:
    both = {key: value for key, value in known.items() if key not in added} | added
    return dict(list(both.items())[-MOST:])
