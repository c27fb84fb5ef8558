"""Clients of a shim's streams that read nothing, or have gone, cost it nothing."""

import os
import socket
from collections.abc import Iterator

import pytest

from ipycontainer_runtime.linux.loop import Loop
from ipycontainer_runtime.shim.logwriter import Writer
from ipycontainer_runtime.shim.streams import PIPE_SIZE, Streams

OPTIONS = {
    "stdin": False,
    "stdout": True,
    "stderr": True,
    "logs": False,
    "stream": True,
    "framed": True,
    "buffered": "",
    "detach_keys": "",
}
MORE_THAN_FITS = 64 * PIPE_SIZE


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A shim's loop."""
    made = Loop()
    yield made
    made.close()


def test_a_client_that_does_not_read_makes_the_process_wait_and_the_shim_keep_little(
    loop: Loop,
) -> None:
    # shim.streams.Streams.emit: `if attachment.behind`
    streams = Streams(loop, Writer(), lambda: None)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    client, given = socket.socketpair()
    streams.attach(given.detach(), OPTIONS)
    streams.begin(-1, [reading])
    written = 0
    while written < MORE_THAN_FITS:
        try:
            written += os.write(writing, bytes(1 << 16))
        except BlockingIOError:
            break
        if not streams._paused:
            loop.turn()
    client.close()
    os.close(writing)
    loop.turn()
    streams.drain()
    assert written < MORE_THAN_FITS
    assert streams.clients == 0


def test_a_client_that_has_gone_is_forgotten_though_nothing_is_written(loop: Loop) -> None:
    # shim.attachment.Attachment._on_events: GONE
    streams = Streams(loop, Writer(), lambda: None)
    reading, writing = os.pipe()
    client, given = socket.socketpair()
    number = given.fileno()
    streams.attach(given.detach(), OPTIONS)
    streams.begin(-1, [reading])
    client.close()
    loop.turn()
    assert streams.clients == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    os.close(writing)
    streams.drain()
