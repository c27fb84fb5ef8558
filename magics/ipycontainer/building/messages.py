"""The stream of an engine that has the classic builder, read as the messages that ours sends.

Docker's tells in text what it does: `Step 2/3 : RUN make`, ` ---> Using cache`, ` ---> 1a2b3c`
(https://docs.docker.com/reference/api/engine/version/v1.50/#tag/Image/operation/ImageBuild).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .steps import CACHED, DONE, FAILED, NAMELESS, RUNNING

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_STATE = re.compile(r" ---> ([0-9a-f]{12})\n?")
_STAGE = re.compile(r"(?is)from\s+(?:--\S+\s+)*\S+(?:\s+as\s+(\S+))?\s*")
_WARNING = re.compile(r"\s*(?:---> )?\[Warning\] (.*)", re.DOTALL)
_NO_LOG = re.compile(
    r"\s*| ---> (?:Using cache|Running in [0-9a-f]{12})\n?"
    r"|Removing intermediate container [0-9a-f]{12}\n?"
    r"|Successfully (?:built|tagged) \S+\n?"
)
_CODE = re.compile(r"returned a non-zero code: (\d+)")

Message = dict[str, Any]


class Classic:
    """Reads the text; `lines` are each instruction's first and last line, where they are known."""

    def __init__(self, lines: Sequence[tuple[int, int]] = ()) -> None:
        self._lines = lines
        self._number = 0
        self._stage = ""
        self._stages = 0
        self._cached = False
        self._image = ""
        self._before = ""

    def read(self, entry: Mapping[str, Any]) -> Iterator[Message]:
        """Yield the messages that one of the engine's means."""
        if "error" in entry:
            yield self._failure(entry)
        elif "stream" in entry:
            yield from self._text(str(entry["stream"]))
        elif "status" in entry and self._number:
            yield {**entry, "step": {"id": str(self._number)}}
        elif "aux" in entry:
            yield dict(entry)

    def _text(self, text: str) -> Iterator[Message]:
        found = _STEP.fullmatch(text)
        if found and int(found[1]) == self._number + 1:
            yield from self.end()
            yield self._begun(int(found[1]), int(found[2]), found[3].strip())
        elif found := _STATE.fullmatch(text):
            self._image = found[1]
        elif found := _WARNING.fullmatch(text):
            yield {"warning": {"message": found[1]}}
        elif _NO_LOG.fullmatch(text):
            self._cached = self._cached or "Using cache" in text
        elif self._number:
            yield {"step": {"id": str(self._number)}, "stream": text}

    def _begun(self, number: int, total: int, name: str) -> Message:
        self._number, self._cached = number, False
        self._before = self._image
        if found := _STAGE.fullmatch(name):
            self._stage = found[1] or NAMELESS.format(self._stages)
            self._stages += 1
            self._before = self._image = ""
        first, last = self._lines[number - 1] if number <= len(self._lines) else (0, 0)
        step = {"id": str(number), "stage": self._stage, "number": number, "total": total}
        return {"step": {**step, "name": name, "first": first, "last": last, "state": RUNNING}}

    def end(self) -> Iterator[Message]:
        """Yield the end of the step that runs, if there is one."""
        if self._number:
            state = CACHED if self._cached else DONE
            yield {"step": {"id": str(self._number), "state": state}}

    def _failure(self, entry: Mapping[str, Any]) -> Message:
        detail = {"image": self._before, **(entry.get("errorDetail") or {})}
        if self._number:
            first, last = self._lines[self._number - 1] if self._lines else (0, 0)
            detail |= {"step": str(self._number), "first": first, "last": last}
        if found := _CODE.search(str(entry["error"])):
            detail["code"] = int(found[1])
        return {"error": entry["error"], "errorDetail": detail, "state": FAILED}
