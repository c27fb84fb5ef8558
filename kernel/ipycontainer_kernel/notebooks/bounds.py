"""How much of what a notebook's cells put out is kept: a kernel may put out more than memory holds.

What counts is what would be kept: a picture that a cell draws anew a thousand times is one picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

CELL: Final = 16_000_000
"""Characters of the outputs of one cell."""
NOTEBOOK: Final = 256_000_000
"""Characters of all outputs and of what widgets hold."""
MESSAGE: Final = 64_000_000
"""Bytes of one message that is looked into."""
RECEIVED: Final = 256_000_000
"""Bytes of one message that is taken at all: for a larger one ZeroMQ ends the connection."""
QUEUED: Final = 16
"""Messages that wait to be read here; others wait in the kernel."""
_EACH: Final = 200
"""What a value counts beside its text: memory has more than the characters."""
_ERROR: Final = 1_000_000
_OUTPUTS: Final = ("stream", "display_data", "update_display_data", "execute_result")


def weight(value: Any) -> int:
    """Return how much JSON's types count, whatever is in what."""
    total, left = 0, [value]
    while left:
        one = left.pop()
        total += _EACH
        if isinstance(one, dict):
            left += one.values()
            total += sum(len(str(key)) for key in one)
        elif isinstance(one, list | tuple):
            left += one
        elif isinstance(one, str | bytes | memoryview):
            total += len(one)
    return total


def held(outputs: list[Any]) -> int:
    """Return how much a cell's outputs count; of a stream it is the text, however it came."""
    return sum(
        _EACH + len(output["text"]) if output["output_type"] == "stream" else weight(output)
        for output in outputs
    )


class Account:
    """What is kept of one kind; `measure` tells what is there now, which takes its time."""

    def __init__(self, most: int, measure: Callable[[], int]) -> None:
        self._most, self._measure = most, measure
        self._tally = 0

    def room(self, size: int) -> int:
        """Return how much of `size` may be kept, and take that."""
        self._tally += size
        if self._tally > self._most:
            # What was cleared or replaced meanwhile takes nothing.
            self._tally = self._measure() + size
        over = max(0, self._tally - self._most)
        self._tally -= min(over, size)
        return max(0, size - over)


class Bounds:
    """The accounts of a run: `cut` is asked of each message before its content is kept.

    `widgets` is what nbclient holds of widgets, for the end of the run.
    """

    def __init__(self, notebook: Any, widgets: Callable[[], Any]) -> None:
        self._notebook, self._widgets = notebook, widgets
        self.full = False
        """Whether there is no more room for outputs of the cell that runs."""
        self._of_cell = Account(CELL, lambda: 0)
        self._of_all = Account(NOTEBOOK, self._all)

    def _all(self) -> int:
        outputs = [cell.get("outputs") for cell in self._notebook.cells]
        return weight(outputs) + weight(self._widgets())

    def begin(self, cell: Any) -> None:
        """Have room for another cell."""
        self.full = False
        self._of_cell = Account(CELL, lambda: held(cell["outputs"]))

    def wanted(self, kind: str, size: int) -> bool:
        """Tell whether a message is looked into at all; one that is too large leaves no room."""
        self.full = self.full or size > MESSAGE
        return not self.full or (kind not in _OUTPUTS and size <= MESSAGE)

    def cut(self, cell: Any, message: dict[str, Any]) -> dict[str, Any] | None:
        """Return what of a message may be kept; None for nothing.

        Of text it is what fits, so that two runs of a cell end at the same place.
        """
        kind, content = message["msg_type"], message["content"]
        if kind in ("status", "execute_input", "clear_output"):
            return message
        if self.full:
            return message if kind == "error" and weight(content) <= _ERROR else None
        size, own = _size(cell, kind, content)
        size += sum(map(len, message.get("buffers") or ()))
        kept = size if kind.startswith("comm") else self._of_cell.room(size)
        kept = min(kept, self._of_all.room(size))
        if kept == size:
            return message
        self.full = True
        if kind != "stream":
            return None
        return {**message, "content": {**content, "text": content["text"][: max(0, kept - own)]}}


def _size(cell: Any, kind: str, content: dict[str, Any]) -> tuple[int, int]:
    """Return what a message counts, and how much of that is not its text."""
    if kind != "stream":
        return weight(content), 0
    own = _EACH if joined(cell["outputs"], content["name"]) is None else 0
    return own + len(content["text"]), own


def joined(outputs: list[Any], name: str) -> Any | None:
    """Return the output that more of this stream belongs to, if it is the last."""
    last = outputs[-1] if outputs else None
    if last is not None and last["output_type"] == "stream" and last["name"] == name:
        return last
    return None


def told() -> str:
    """Return what a cell says whose outputs are not all there."""
    return (
        f"[the outputs of a cell end at {CELL:,} characters, those of a notebook at {NOTEBOOK:,}:"
        " what came after this is left out]\n"
    )


def lost() -> str:
    """Return what a cell says of whose outputs the last ones did not come."""
    return (
        f"[outputs of this cell may be missing: a message has at most {RECEIVED:,} bytes, and what"
        " comes faster than it is read is lost]\n"
    )
