"""Archives between a client's connection and a thread that reads or writes them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ipycontainer_runtime.layers.pipe import Feed, Stopped, Work

Put = Callable[[bytes], None]
Said = TypeVar("Said")
Came = TypeVar("Came")


class Outgoing(Generic[Said]):
    """An archive that is being written; `said` is what its writer told of it beforehand."""

    def __init__(self, feed: Feed, work: Work, said: Said) -> None:
        self.said = said
        self._chunks = iter(feed)
        self._work = work

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the archive; raises what went wrong in the middle."""
        while chunk := await asyncio.to_thread(next, self._chunks, b""):
            yield chunk
        await asyncio.to_thread(self._work.result)


class Incoming(Generic[Came]):
    """An archive on its way in; `came` is what its reader made of it, once all of it is here."""

    def __init__(self, feed: Feed, work: Work, came: "Future[Came]") -> None:
        self._feed = feed
        self._work = work
        self._came = came
        self.whole = False
        """True once all of it has come and was taken."""

    async def put(self, chunk: bytes) -> None:
        """Hand on the next bytes as they came; once the reader has failed they are let go."""
        with contextlib.suppress(Stopped):
            # A thread for each of so many small chunks would cost more than what is done with them.
            if not self._feed.offer(chunk):
                await asyncio.to_thread(self._feed.put, chunk)

    async def result(self) -> Came:
        """Say that all was put, wait until it is taken, and return what it was made into."""
        self._feed.end()
        await asyncio.to_thread(self._work.result)
        self.whole = True
        return self._came.result()


@contextlib.asynccontextmanager
async def outgoing(
    pack: Callable[[Put, "Future[Said]"], None],
) -> AsyncIterator[Outgoing[Said]]:
    """Run `pack` on a thread; give its archive once it has said what it packs."""
    feed = Feed()
    said: Future[Said] = Future()

    def run() -> None:
        try:
            pack(feed.put, said)
        except BaseException as error:
            if not said.done():
                said.set_exception(error)
            raise
        finally:
            feed.end()

    work = Work("tar", run)
    try:
        yield Outgoing(feed, work, await asyncio.wrap_future(said))
    finally:
        feed.stop()
        await asyncio.to_thread(work.join)


@contextlib.asynccontextmanager
async def incoming(take: Callable[[Feed], Came]) -> AsyncIterator[Incoming[Came]]:
    """Run `take` on a thread, which reads what the client sends.

    Whatever goes wrong, also before the first byte, is raised by the result: a client reads no
    answer before it has sent everything. A client that goes away has cut its archive short.
    """
    feed = Feed()
    came: Future[Came] = Future()

    def run() -> None:
        try:
            came.set_result(take(feed))
        finally:
            feed.stop()

    work = Work("untar", run)
    try:
        yield Incoming(feed, work, came)
    finally:
        feed.end()
        await asyncio.to_thread(work.join)
