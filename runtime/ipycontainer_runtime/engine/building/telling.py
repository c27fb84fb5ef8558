"""What is said of a build, from its stages to its client, who may read slowly or not at all.

A build's commands wait while their client is behind, so what is said fills no memory. What a step
says before its turn is on disk, bounded, and goes to the client piece by piece from there.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

Message = dict[str, Any]

KEPT = 64 << 20
"""Characters of a step's log that are kept until its turn; with the end of it, whatever follows."""
_IN_MEMORY = 256 << 10
"""Bytes of them for which no file is made."""
_AHEAD = 64
"""Messages that a build may be ahead of its client before its commands wait."""


class Say(Protocol):
    """The seam: whom a build tells what it does."""

    def say(self, message: Message) -> None:
        """Say something."""
        ...

    def say_all(self, messages: Iterator[Message]) -> None:
        """Say much, which is read only as the client takes it."""
        ...


class Telling:
    """What is said of a build, until its client takes it; one that does not read holds it up."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Message | Iterator[Message] | None] = asyncio.Queue()
        self._stored = 0
        """How many of them are stores of messages that the client has not come to the end of."""
        self._telling: Iterator[Message] | None = None
        self._room = asyncio.Event()
        self._room.set()

    def say(self, message: Message) -> None:
        """Say something."""
        self._put(message)

    def say_all(self, messages: Iterator[Message]) -> None:
        """Say what is stored; until all of it is taken there is no room for more."""
        self._stored += 1
        self._put(messages)

    def end(self) -> None:
        """Say that there is no more."""
        self._put(None)

    async def take(self) -> Message | None:
        """Return what was said next, None for the end."""
        while True:
            if self._telling is not None:
                if (message := next(self._telling, None)) is not None:
                    return message
                self._telling, self._stored = None, self._stored - 1
            elif not isinstance(said := await self._said.get(), Iterator):
                self._look()
                return said
            else:
                self._telling = said
            self._look()

    async def room(self) -> None:
        """Wait until the client has taken so much that more can be said."""
        await self._room.wait()

    def _put(self, said: Message | Iterator[Message] | None) -> None:
        self._said.put_nowait(said)
        self._look()

    def _look(self) -> None:
        if self._said.qsize() < _AHEAD and not self._stored:
            self._room.set()
        else:
            self._room.clear()


class Quiet:
    """Tells of a build no more than its image and what went wrong."""

    def __init__(self, telling: Say) -> None:
        self._telling = telling

    def say(self, message: Message) -> None:
        """Say it if it is one of those."""
        if "aux" in message or "error" in message:
            self._telling.say(message)

    def say_all(self, messages: Iterator[Message]) -> None:
        """Say nothing: what steps have said is neither."""


class Held:
    """What a step says before it is its turn."""

    def __init__(self, folder: Path) -> None:
        # On the data root's disk: /tmp may be memory.
        self._file: tempfile.SpooledTemporaryFile[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - it lives until it is read
            _IN_MEMORY, "w+b", dir=str(folder)
        )
        self._logged = 0

    def add(self, message: Message) -> None:
        """Keep a message."""
        self._file.write(msgspec.json.encode(message) + b"\n")

    def log(self, text: str) -> None:
        """Keep a piece of the log, as much as there is room for."""
        left = max(0, KEPT - self._logged)
        self._logged += len(text)
        if kept := text[:left]:
            self.add({"stream": kept})

    def close(self, tail: str) -> None:
        """End it with the log's `tail`, if there was too much between."""
        if (cut := self._logged - KEPT) > 0:
            tail = tail[-cut:]
            told = (
                f"\n[{cut - len(tail)} characters of this step's output are left out: {KEPT >> 20} "
                "MiB are kept of a step that runs while earlier ones do]\n"
            )
            self.add({"stream": told + tail})

    def messages(self) -> Iterator[Message]:
        """Yield what was kept, read as it is taken."""
        self._file.seek(0)
        with self._file:
            yield from map(msgspec.json.decode, self._file)
