"""Take a client's connection out of HTTP, for attach and exec.

tornado's IOStream closes the whole connection as soon as it reads end-of-file, which is what
`echo hi | docker run -i` sends before it asks for the start. So the descriptor is duplicated
before the handler first waits for anything; whatever the stream then sees, the duplicate lives.
"""

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
import termios
from typing import NamedTuple

from tornado.iostream import IOStream, StreamClosedError

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"

# More than tornado buffers while it listens for a disconnect, so that one read empties it.
_BUFFERED_LIMIT = 1 << 20


# Seconds after which a client that does not read its head gets output all the same.
_READING_SECONDS = 1.0


class Hijacked(NamedTuple):
    """A connection that is no longer HTTP's; the holder closes `sock`.

    `buffered` is what the client sent after its request and tornado has read already.
    """

    sock: socket.socket
    buffered: bytes


def duplicate(stream: IOStream) -> socket.socket:
    """Return a second, non-blocking socket for the connection under `stream`."""
    sock = stream.socket.dup()
    sock.setblocking(False)
    return sock


def release(stream: IOStream) -> bytes:
    """Close `stream` without shutting its connection down; return what it had buffered."""
    try:
        reading = stream.read_bytes(_BUFFERED_LIMIT, partial=True)
    except StreamClosedError:
        return b""
    done = isinstance(reading, asyncio.Future) and reading.done()
    buffered = b"" if not done or reading.exception() else reading.result()  # type: ignore[attr-defined]  # it is a Future
    stream.close()
    if not done:
        _settle(reading)
    return buffered


def _settle(reading: object) -> None:
    """Look at the error that closing left in a read, or asyncio would report it as lost."""
    if isinstance(reading, asyncio.Future) and reading.done():
        reading.exception()


async def read_by_client(sock: socket.socket) -> None:
    """Return once the client has read all that was sent to it, or takes its time over it.

    docker-py reads the head through a buffer and then goes on at the socket below it: output that
    comes together with the head is lost to it. So what may talk at once waits for this first.
    """
    edges = select.epoll()
    try:
        # Edge-triggered, the kernel tells of every packet that the other side takes.
        edges.register(sock, select.EPOLLOUT | select.EPOLLET)
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(_emptied(sock, edges), _READING_SECONDS)
    finally:
        edges.close()


async def _emptied(sock: socket.socket, edges: select.epoll) -> None:
    loop, taken = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(edges.fileno(), taken.set)
    try:
        while True:
            taken.clear()
            edges.poll(0)  # forget what was told: the next packet taken is told anew
            if not _unread(sock):
                return
            await taken.wait()
    finally:
        loop.remove_reader(edges.fileno())


def _unread(sock: socket.socket) -> int:
    """Return how much of what was sent the other side has not read (SIOCOUTQ, unix(7))."""
    packed = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    unread: int = struct.unpack("i", packed)[0]
    return unread


def upgrade_head(*, upgraded: bool, content_type: str) -> bytes:
    """Return the head that precedes the raw stream.

    A client that sent `Upgrade: tcp` gets 101; one that did not gets 200, as from Docker
    (https://docs.docker.com/reference/api/engine/version/v1.50/#tag/Container/operation/ContainerAttach).
    """
    if not upgraded:
        return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode()
    lines = (
        "HTTP/1.1 101 UPGRADED",
        f"Content-Type: {content_type}",
        "Connection: Upgrade",
        "Upgrade: tcp",
    )
    return "\r\n".join((*lines, "", "")).encode()
