"""`io.ipycontainer.lease`: a container lives no longer than who is attached to its input."""

import socket

import pytest

from ipycontainer_runtime.engine.annotations import LEASE
from support.calls import Make, begin, call, start
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]

LEASED = {"Annotations": {LEASE: "true"}}


def holding(engine: Engine, container: str, query: str = "stdin=1") -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(engine.socket))
    head = f"POST /v1.50/containers/{container}/attach?stream=1&{query} HTTP/1.1\r\nHost: d\r\n"
    sock.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    assert sock.recv(4096).startswith(b"HTTP/1.1 101")
    return sock


def test_a_leased_container_is_killed_and_removed_when_its_holder_goes(
    shared_engine: Engine, make: Make
) -> None:
    leased = make("sleep", "1000", OpenStdin=True, HostConfig={**LEASED, "AutoRemove": True})
    holder = holding(shared_engine, leased)
    start(shared_engine, leased)
    _, response = begin(shared_engine, "POST", f"/containers/{leased}/wait?condition=removed")
    holder.close()
    assert b'"StatusCode":137' in response.read()
    assert call(shared_engine, "GET", f"/containers/{leased}/json").status == 404


def test_a_lease_ends_while_there_is_no_engine(shared_engine: Engine, make: Make) -> None:
    leased = make("sleep", "1000", OpenStdin=True, HostConfig=LEASED)
    holder = holding(shared_engine, leased)
    start(shared_engine, leased)
    shared_engine.kill()
    holder.close()
    shared_engine.start()
    assert call(shared_engine, "POST", f"/containers/{leased}/wait").body["StatusCode"] == 137


def test_who_only_listens_holds_no_lease(shared_engine: Engine, make: Make) -> None:
    leased = make("cat", OpenStdin=True, StdinOnce=True, HostConfig=LEASED)
    listener, holder = holding(shared_engine, leased, "stdout=1"), holding(shared_engine, leased)
    start(shared_engine, leased)
    listener.close()
    assert call(shared_engine, "GET", f"/containers/{leased}/json").body["State"]["Running"]
    holder.close()


def test_without_the_annotation_the_container_lives_on(shared_engine: Engine, make: Make) -> None:
    kept = make("sh", "-c", "cat; sleep 1000", OpenStdin=True, StdinOnce=True)
    holder = holding(shared_engine, kept)
    start(shared_engine, kept)
    holder.close()
    assert call(shared_engine, "GET", f"/containers/{kept}/json").body["State"]["Running"]
