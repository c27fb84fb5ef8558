"""A container's log, read for a client: all of it, its end, or on and on."""

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.engine.container import Container, Ended
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.times import rfc3339_fixed
from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.linux.inotify import GONE, Watch, Watches
from ipycontainer_runtime.shim.log import Entry, Reader

_CHUNK = 256 << 10
"""Bytes that are collected before they are sent."""

_ROTATION_SECONDS = 0.01
_HEADER = struct.Struct(">BxxxI")


class LogRequest(NamedTuple):
    """What of a log is wanted; instants in nanoseconds, `tail` None for all."""

    stdout: bool
    stderr: bool
    follow: bool = False
    timestamps: bool = False
    since: int | None = None
    until: int | None = None
    tail: int | None = None


class Logs:
    """Reads logs that shims write."""

    def __init__(self, *, containers: Containers) -> None:
        self._containers = containers
        self._watches = Watches()

    def close(self) -> None:
        """Give up what followed logs were watched with."""
        self._watches.close()

    def open(self, reference: str, request: LogRequest) -> "LogStream":
        """Return a container's log, or refuse it before anything is sent."""
        container = self._containers.get(reference)
        if not (request.stdout or request.stderr):
            raise InvalidParameter("Bad parameters: you must choose at least one stream")
        if not container.logged:
            raise NotImplementedHere("configured logging driver does not support reading")
        return LogStream(container, request, self._watches)


class LogStream:
    """One client's reading of a log: chunks as the Engine API frames them, raw where a tty is."""

    def __init__(self, container: Container, request: LogRequest, watches: Watches) -> None:
        self.tty = container.tty
        self._container = container
        self._request = request
        self._watches = watches
        self._path = Path(container.log_path)
        self._reader = Reader(
            self._path,
            container.record.host_config.log_config.type,
            since=request.since or 0,
            until=request.until,
            tail=request.tail,
            stdout=request.stdout,
            stderr=request.stderr,
            # Without times before its lines, a log is passed on as it was written.
            lines=request.timestamps,
        )

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the log in chunks; with `follow`, until the container ends."""
        with contextlib.closing(self._reader):
            if self._request.follow and self._container.state.running:
                async for chunk in self._followed():
                    yield chunk
            else:
                for chunk in self._framed(self._reader.everything()):
                    yield chunk

    async def _followed(self) -> AsyncIterator[bytes]:
        """Read, wait for the file to grow, read on; what is left at the exit is read last."""
        ended = self._container.exits.add()
        try:
            while not ended.done() and not self._past_until():
                try:
                    watch = self._watches.watch(self._path)
                except FileNotFoundError:  # it is just being rotated
                    await asyncio.wait((ended,), timeout=_ROTATION_SECONDS)
                    continue
                with watch:
                    async for _ in self._changes(watch, ended):
                        for chunk in self._framed(self._reader.entries()):
                            yield chunk
        finally:
            ended.cancel()
        for chunk in self._framed(chain(self._reader.entries(), self._reader.rest())):
            yield chunk

    async def _changes(self, watch: Watch, ended: "asyncio.Future[Ended]") -> AsyncIterator[None]:
        """Yield at once and whenever the file has changed, until the exit or a rotation."""
        yield
        changes = aiter(watch)
        change: asyncio.Future[str] | None = None
        try:
            while not ended.done() and not self._past_until():
                change = change or asyncio.ensure_future(anext(changes, GONE))
                await asyncio.wait(
                    (change, ended), timeout=self._left(), return_when=asyncio.FIRST_COMPLETED
                )
                if change.done():
                    yield
                    if change.result() == GONE:
                        return
                    change = None
        finally:
            if change is not None and not change.done():
                change.cancel()
                await asyncio.wait((change,))

    def _left(self) -> float | None:
        until = self._request.until
        return None if until is None else max(0.0, (until - time.time_ns()) / 1e9)

    def _past_until(self) -> bool:
        return self._left() == 0

    def _framed(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """Collect entries into chunks, each entry behind its header where there is no tty."""
        collected: list[bytes] = []
        size = 0
        for entry in entries:
            data = entry.data
            if self._request.timestamps:
                data = f"{rfc3339_fixed(entry.time_ns)} ".encode() + data
            if not self.tty:
                collected.append(_HEADER.pack(entry.stream, len(data)))
            collected.append(data)
            size += len(data)
            if size >= _CHUNK:
                yield b"".join(collected)
                collected, size = [], 0
        if collected:
            yield b"".join(collected)
