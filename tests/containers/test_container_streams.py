"""Attach and logs as the API gives them; large streams are in tests/streams."""

import re
import socket
import struct
import time
from typing import Any

import pytest

from support.calls import Make, begin, call, ended, logged, start
from support.engines import Engine

TALK = ("sh", "-c", "echo one; echo two >&2; sleep 0.3; echo three")
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def attached(engine: Engine, container: str, query: str, version: str = "v1.50") -> Any:
    """Attach by a raw request; return the socket, a file to read it, and the head."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(engine.socket))
    head = f"POST /{version}/containers/{container}/attach?{query} HTTP/1.1\r\nHost: d\r\n"
    sock.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    file = sock.makefile("rb")
    lines = [line.strip().decode() for line in iter(file.readline, b"\r\n")]
    return sock, file, lines


def frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        stream, length = struct.unpack(">BxxxI", data[:8])
        found.append((stream, data[8 : 8 + length]))
        data = data[8 + length :]
    return found


def streams(data: bytes) -> tuple[bytes, bytes]:
    found = frames(data)
    return b"".join(d for s, d in found if s == 1), b"".join(d for s, d in found if s == 2)


def logs(engine: Engine, container: str, query: str) -> bytes:
    reply = call(engine, "GET", f"/containers/{container}/logs?{query}")
    assert reply.status == 200
    assert isinstance(reply.body, bytes)
    return reply.body


def test_who_attaches_before_the_start_misses_nothing(shared_engine: Engine, make: Make) -> None:
    container = make(*TALK)
    sock, file, head = attached(shared_engine, container, "stream=1&stdout=1&stderr=1")
    assert head[0] == "HTTP/1.1 101 UPGRADED"
    start(shared_engine, container)
    with sock:
        assert streams(file.read()) == (b"one\nthree\n", b"two\n")


def test_one_stream_can_be_attached_alone(shared_engine: Engine, make: Make) -> None:
    container = make(*TALK)
    sock, file, _ = attached(shared_engine, container, "stream=1&stderr=1")
    start(shared_engine, container)
    with sock:
        assert frames(file.read()) == [(2, b"two\n")]


def test_what_is_typed_before_the_start_is_read_by_the_container(
    shared_engine: Engine, make: Make
) -> None:
    container = make("cat", OpenStdin=True, StdinOnce=True)
    sock, file, _ = attached(shared_engine, container, "stream=1&stdin=1&stdout=1")
    with sock:
        sock.sendall(b"early\n")
        sock.shutdown(socket.SHUT_WR)
        start(shared_engine, container)
        assert streams(file.read())[0] == b"early\n"


def test_a_terminal_is_one_raw_stream(shared_engine: Engine, make: Make) -> None:
    container = make(*TALK, Tty=True)
    sock, file, _ = attached(shared_engine, container, "stream=1&stdout=1&stderr=1")
    start(shared_engine, container)
    with sock:
        assert file.read() == b"one\r\ntwo\r\nthree\r\n"
    assert logs(shared_engine, container, "stdout=1&stderr=1") == b"one\r\ntwo\r\nthree\r\n"


def test_streams_say_their_type_since_1_42(shared_engine: Engine, run: Make) -> None:
    for tty, version, kind in (
        (False, "v1.42", MULTIPLEXED),
        (False, "v1.41", RAW),
        (True, "v1.50", RAW),
    ):
        container = run("sleep", "1000", Tty=tty)
        sock, _, head = attached(shared_engine, container, "stream=1&stdout=1", version)
        sock.close()
        assert f"Content-Type: {kind}" in head
        path = f"/containers/{container}/logs?stdout=1"
        assert call(shared_engine, "GET", path, version=version).headers["content-type"] == kind


def test_attach_replays_the_log_and_goes_on(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "echo before; read line; echo $line", OpenStdin=True)
    follow, response = begin(
        shared_engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1"
    )
    response.read(8 + len("before\n"))
    follow.close()
    query = "logs=1&stream=1&stdin=1&stdout=1"
    sock, file, _ = attached(shared_engine, container, query)
    with sock:
        sock.sendall(b"after\n")
        assert streams(file.read())[0] == b"before\nafter\n"


def test_attach_gives_the_log_of_what_has_ended(shared_engine: Engine, run: Make) -> None:
    container = run(*TALK)
    ended(shared_engine, container)
    sock, file, _ = attached(shared_engine, container, "logs=1&stdout=1&stderr=1")
    with sock:
        assert streams(file.read()) == (b"one\nthree\n", b"two\n")


def test_who_waits_for_a_start_is_let_go_when_it_fails_or_cannot_come(
    shared_engine: Engine, make: Make
) -> None:
    container = make("no-such-command")
    failing, file, _ = attached(shared_engine, container, "stream=1&stdout=1")
    assert call(shared_engine, "POST", f"/containers/{container}/start").status == 400
    with failing:
        assert file.read() == b""
    waiting, file, _ = attached(shared_engine, container, "stream=1&stdout=1")
    assert call(shared_engine, "DELETE", f"/containers/{container}").status == 204
    with waiting:
        assert file.read() == b""


def test_detach_keys_that_are_none_are_refused(shared_engine: Engine, make: Make) -> None:
    reply = call(shared_engine, "POST", f"/containers/{make('true')}/attach?detachKeys=ctrl-")
    assert reply.status == 400
    assert "Invalid detach keys (ctrl-) provided" in reply.message


def test_a_web_socket_is_refused_by_name(shared_engine: Engine, make: Make) -> None:
    assert call(shared_engine, "GET", f"/containers/{make('true')}/attach/ws").status == 501


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_logs_are_what_was_written(shared_engine: Engine, run: Make, driver: str) -> None:
    container = run(*TALK, HostConfig={"LogConfig": {"Type": driver}})
    ended(shared_engine, container)
    both = logs(shared_engine, container, "stdout=1&stderr=1")
    assert streams(both) == (b"one\nthree\n", b"two\n")
    assert streams(logs(shared_engine, container, "stdout=1")) == (b"one\nthree\n", b"")
    assert frames(logs(shared_engine, container, "stdout=1&stderr=1&tail=1")) == [(1, b"three\n")]
    assert logs(shared_engine, container, "stdout=1&tail=0") == b""


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_followed_logs_end_with_the_container(
    shared_engine: Engine, run: Make, driver: str
) -> None:
    log = {"LogConfig": {"Type": driver}}
    code = "echo first; read line; echo $line; printf last"
    container = run("sh", "-c", code, OpenStdin=True, HostConfig=log)
    path = f"/containers/{container}/logs?follow=1&stdout=1&stderr=1"
    connection, response = begin(shared_engine, "GET", path)
    assert response.read(8 + 6)[8:] == b"first\n"
    sock, _, _ = attached(shared_engine, container, "stream=1&stdin=1")
    with sock:
        sock.sendall(b"second\n")
        assert streams(response.read())[0] == b"second\nlast"
    connection.close()


def test_timestamps_and_since_and_until_agree(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "echo a; sleep 0.05; echo b")
    ended(shared_engine, container)
    lines = [d for _, d in frames(logs(shared_engine, container, "stdout=1&timestamps=1"))]
    pattern = rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (.)\n"
    matches = [re.fullmatch(pattern, line) for line in lines]
    times = [match[1].decode() for match in matches if match]
    assert len(times) == 2
    assert frames(logs(shared_engine, container, f"stdout=1&since={times[1]}")) == [(1, b"b\n")]
    assert frames(logs(shared_engine, container, f"stdout=1&until={times[0]}")) == [(1, b"a\n")]
    assert logs(shared_engine, container, f"stdout=1&since={int(time.time()) + 60}") == b""


def test_following_ends_at_until(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    path = f"/containers/{container}/logs?follow=1&stdout=1&until={time.time() + 0.2:.9f}"
    assert call(shared_engine, "GET", path).body == b""


def test_logs_of_no_stream_or_at_no_time_are_refused(shared_engine: Engine, make: Make) -> None:
    path = f"/containers/{make('true')}/logs"
    assert call(shared_engine, "GET", path).status == 400
    assert call(shared_engine, "GET", f"{path}?stdout=1&since=yesterday").status == 400


def test_a_container_without_a_log_says_so(shared_engine: Engine, run: Make) -> None:
    container = run("true", HostConfig={"LogConfig": {"Type": "none"}})
    reply = call(shared_engine, "GET", f"/containers/{container}/logs?stdout=1")
    assert (reply.status, reply.message) == (
        501,
        "configured logging driver does not support reading",
    )


def test_a_log_goes_on_when_its_container_starts_again(shared_engine: Engine, run: Make) -> None:
    container = run("echo", "x")
    ended(shared_engine, container)
    start(shared_engine, container)
    ended(shared_engine, container)
    assert logged(shared_engine, container) == b"x\nx\n"
