"""The last bytes of a terminal: enough to show its screen again, however much came before."""

from __future__ import annotations

import re

_KEPT = 1 << 19
_SLACK = 1 << 17
_ALTERNATE = re.compile(rb"\x1b\[\?(?:47|1047|1049)(?:;[0-9;]*)?([hl])")


class Ring:
    """The last half megabyte, from the beginning of a line on."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.dropped = 0
        """How many bytes are no longer kept."""
        self._alternate = False  # the screen at the beginning of what is kept

    def append(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._data += data
        if len(self._data) > _KEPT + _SLACK:
            excess = len(self._data) - _KEPT
            cut = self._data.find(b"\n", excess, excess + _SLACK) + 1 or excess
            for found in _ALTERNATE.finditer(self._data, 0, cut):
                self._alternate = found[1] == b"h"
            del self._data[:cut]
            self.dropped += cut

    def clear(self) -> None:
        """Forget everything: it comes again."""
        self.__init__()  # type: ignore[misc] # there is nothing else to do than to begin again

    def __len__(self) -> int:
        return self.dropped + len(self._data)

    def replay(self) -> bytes:
        """Return what shows the screen again on a terminal that is reset."""
        return (b"\x1b[?1049h" if self._alternate else b"") + bytes(self._data)
