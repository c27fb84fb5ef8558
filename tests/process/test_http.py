"""The socket speaks the Engine API's HTTP, and nobody hurts it with bad HTTP."""

import json
from collections.abc import Iterator

import pytest
import raw

from ipycontainer_runtime import activation, client
from ipycontainer_runtime.paths import Paths
from support.engines import running_engine


@pytest.fixture(scope="module")
def served() -> Iterator[Paths]:
    with running_engine() as engine:
        yield engine.paths


@pytest.fixture
def running(served: Paths) -> Iterator[Paths]:
    yield served
    # Whatever was sent, the engine is alive and has nothing to complain of.
    assert get(served, "/_ping") == (200, b"OK")
    assert client.logs(served) == ""


def get(where: Paths, path: str, method: str = "GET") -> tuple[int, bytes]:
    with activation.dial(where) as sock:
        return raw.ask(sock, path, method)


def send(where: Paths, data: bytes) -> tuple[int, bytes]:
    """Send bytes as they are and read until the engine closes."""
    with activation.dial(where) as sock:
        sock.settimeout(20)
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return 0, b""
        try:
            return raw.parse(raw.read_all(sock))
        except ConnectionResetError:
            return 0, b""


def test_ping_tells_what_clients_negotiate_by(running: Paths) -> None:
    for method in (b"GET", b"HEAD"):
        with activation.dial(running) as sock:
            sock.sendall(method + b" /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head, _, body = raw.read_all(sock).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK"
        assert {"Api-Version: 1.50", "Ostype: linux", "Docker-Experimental: false"} <= set(lines)
        assert body == (b"OK" if method == b"GET" else b"")


@pytest.mark.parametrize(("version", "status"), [("1.24", 200), ("1.41", 200), ("1.50", 200)])
def test_versions_from_1_24_to_1_50_are_served(running: Paths, version: str, status: int) -> None:
    assert get(running, f"/v{version}/version")[0] == status


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (
            "1.51",
            "client version 1.51 is too new. Maximum supported API version is 1.50",
        ),
        (
            "1.23",
            "client version 1.23 is too old. Minimum supported API version is 1.24, please "
            "upgrade your client to a newer version",
        ),
    ],
)
def test_other_versions_are_refused_in_dockers_words(
    running: Paths, version: str, words: str
) -> None:
    status, body = get(running, f"/v{version}/version")
    assert (status, raw.message(body)) == (400, words)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1.50/nowhere", "/_pingx"])
def test_an_unknown_path_is_dockers_404(running: Paths, path: str) -> None:
    assert get(running, path) == (404, b'{"message":"page not found"}\n')


def test_a_method_that_an_endpoint_has_not_is_dockers_404(running: Paths) -> None:
    assert get(running, "/version", "DELETE") == (404, b'{"message":"page not found"}\n')


def test_what_this_engine_has_not_is_named(running: Paths) -> None:
    status, body = get(running, "/v1.50/swarm")
    assert status == 501
    assert raw.message(body).startswith("GET /v1.50/swarm is not supported by this engine")


def test_networks_and_volumes_have_dockers_shape(running: Paths) -> None:
    networks = json.loads(get(running, "/networks")[1])
    assert [(each["Name"], each["Driver"]) for each in networks] == [
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "null"),
    ]
    assert json.loads(get(running, "/volumes")[1]) == {"Volumes": [], "Warnings": None}


@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"])
def test_a_web_page_is_refused(running: Paths, header: str) -> None:
    request = (
        f"POST /ipycontainer/stop HTTP/1.1\r\nHost: x\r\n{header}\r\nConnection: close\r\n\r\n"
    )
    status, body = send(running, request.encode())
    assert status == 403
    assert "web pages" in raw.message(body)


def test_a_header_of_ten_megabytes_is_refused(running: Paths) -> None:
    head = b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (10 << 20) + b"\r\n\r\n"
    assert send(running, head)[0] in (0, 400)


def test_a_body_past_its_bound_is_refused(running: Paths) -> None:
    head = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
    assert send(running, head)[0] == 400


def test_a_body_with_two_lengths_is_refused(running: Paths) -> None:
    head = b"POST /ipycontainer/keep HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    assert send(running, head + b"Content-Length: 4\r\n\r\n0\r\n\r\n")[0] == 400


def test_filters_that_do_not_exist_are_named(running: Paths) -> None:
    status, body = get(running, '/events?filters={"colour":["red"]}')
    assert (status, raw.message(body)) == (400, "invalid filter 'colour'")
    status, body = get(running, "/events?filters=nonsense")
    assert status == 400
    assert raw.message(body).startswith("invalid filters nonsense")


def test_a_hundred_clients_that_vanish_leave_no_descriptor(running: Paths) -> None:
    pid = client.pid(running)
    before = descriptors(pid)
    for _ in range(100):
        with activation.dial(running) as sock:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"
    while json.loads(get(running, "/info")[1])["NEventsListener"]:
        pass  # the last of them has not been noticed yet
    assert descriptors(pid) <= before


def descriptors(pid: int | None) -> int:
    import os

    return len(os.listdir(f"/proc/{pid}/fd"))
