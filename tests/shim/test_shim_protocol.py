"""The protocol between engine and shim: messages and descriptors in any pieces, within bounds."""

import os
import random
import socket
import struct
from collections.abc import Iterator

import pytest

from ipycontainer_runtime.linux.channel import LIMIT, Channel, ProtocolError, encode
from ipycontainer_runtime.shim import detach


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = (Channel(sock) for sock in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_arrive_in_order_with_their_own_descriptors(pair: tuple[Channel, Channel]) -> None:
    ours, theirs = pair
    pipes = [os.pipe() for _ in range(5)]
    for number, (reading, writing) in enumerate(pipes):
        ours.send({"n": number, "text": "é" * number}, (writing,) * (number % 3))
        os.close(writing)
        if number % 3 == 0:
            os.close(reading)
    received: list = []
    while len(received) < 5:
        received += theirs.receive() or []
    for number, (message, fds) in enumerate(received):
        assert (message["n"], len(fds)) == (number, number % 3)
        for fd in fds:
            assert not os.get_inheritable(fd)
            os.write(fd, b"x")
            os.close(fd)
        if number % 3:
            assert os.read(pipes[number][0], 10) == b"x" * (number % 3)
            os.close(pipes[number][0])


def test_what_the_socket_does_not_take_is_sent_later(pair: tuple[Channel, Channel]) -> None:
    ours, theirs = pair
    reading, writing = os.pipe()
    big = {"text": "x" * 3_000_000}
    ours.send(big)
    ours.send({"last": True}, (writing,))
    os.close(writing)
    assert ours.pending
    received: list = []
    while len(received) < 2:
        ours.flush()
        received += theirs.receive() or []
    assert not ours.pending
    assert received[0] == (big, [])
    message, (fd,) = received[1]
    assert message["last"]
    os.write(fd, b"x")
    os.close(fd)
    assert os.read(reading, 1) == b"x"
    os.close(reading)


def test_a_message_may_come_byte_by_byte() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    received: list = []
    for byte in encode({"a": [1, None, "é"]}) * 3:
        ours.send(bytes([byte]))
        received += channel.receive() or []
    assert received == [({"a": [1, None, "é"]}, [])] * 3
    ours.close()
    assert channel.receive() is None
    channel.close()


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">I", LIMIT + 1),
        struct.pack(">I", 3) + b"not",
        struct.pack(">I", 10) + b'{"fds": 2}',
        struct.pack(">I", 2) + b"\xff\xff",
    ],
)
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.send(sent)
    with pytest.raises(ProtocolError):
        channel.receive()
    channel.close()
    ours.close()


def test_a_message_over_the_limit_is_not_sent(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        pair[0].send({"text": "x" * (LIMIT + 1)})


def test_descriptors_that_nobody_took_are_closed() -> None:
    ours, theirs = socket.socketpair()
    sender, channel = Channel(ours), Channel(theirs)
    reading, writing = os.pipe()
    sender.send({}, (writing,))
    os.close(writing)
    sender.close()
    received = channel.receive()
    assert received is not None
    for _, fds in received:
        for fd in fds:
            os.close(fd)
    channel.close()
    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("ctrl-@,ctrl-[,ctrl-_,DEL", b"\x00\x1b\x1f\x7f"),
    ],
)
def test_detach_keys_are_written_as_docker_writes_them(text: str, keys: bytes) -> None:
    assert detach.parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ab", "ctrl-", ",", "é"])
def test_an_unknown_detach_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        detach.parse(text)


def test_detach_keys_are_found_in_any_pieces_and_nothing_else_is_lost() -> None:
    rng = random.Random(7)
    for _ in range(500):
        before = bytes(rng.choice(b"ab\x10") for _ in range(rng.randrange(20)))
        data = before + b"\x10\x11after"
        keys, passed, position, seen = detach.DetachKeys(b"\x10\x11"), b"", 0, False
        while not seen:
            size = rng.randrange(1, 4)
            part, seen = keys.feed(data[position : position + size])
            passed += part
            position += size
        assert passed == before
