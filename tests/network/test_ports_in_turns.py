"""One port that containers have by turns: whoever asks there hears its container, or nobody."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from ipycontainer_runtime.linux.netns import entered, opened_of
from support import calls
from support.alone import IMAGE, engine_alone
from support.engines import Engine

pytestmark = pytest.mark.needs("root", "docker", "busybox", "nft")

PORT = 8080
SERVER = 'echo "$0" > /tmp/index.html; exec httpd -f -h /tmp'


@pytest.fixture(scope="module")
def alone() -> Iterator[tuple[Engine, int]]:
    with engine_alone() as (engine, pid):
        yield engine, pid


class Askers:
    """Ask at a port for as long as they are open, and keep all that they hear."""

    def __init__(self, netns: int) -> None:
        self.heard: set[bytes] = set()
        self._answered = threading.Event()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(netns,)) for _ in range(3)]

    def _ask(self, netns: int) -> None:
        with entered(netns):
            while not self._done.is_set():
                with contextlib.suppress(OSError), socket.socket() as sock:
                    sock.settimeout(0.1)
                    sock.connect(("127.0.0.1", PORT))
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    with sock.makefile("rb") as answer:
                        self._take(answer.read())

    def _take(self, answer: bytes) -> None:
        if name := answer.rpartition(b"\r\n")[2].strip():  # not cut off, as by its server's end
            self.heard.add(name)
            self._answered.set()

    def hear(self) -> None:
        """Wait until somebody answers from now on."""
        self._answered.clear()
        assert self._answered.wait(20), "nobody answers"

    def __enter__(self) -> "Askers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def created(engine: Engine, name: str, **settings: object) -> str:
    settings = {"NetworkMode": "bridge", **settings}
    return calls.create(engine, IMAGE, "sh", "-c", SERVER, name, name=name, HostConfig=settings)


def kill(engine: Engine, container: str) -> None:
    """End a container, and return as soon as it has."""
    assert calls.call(engine, "POST", f"/containers/{container}/kill").status == 204
    calls.ended(engine, container)


@pytest.mark.parametrize("turns", [15, pytest.param(100, marks=pytest.mark.long)])
def test_a_port_is_free_when_its_container_has_ended_and_leads_nobody_elsewhere(
    alone: tuple[Engine, int], turns: int
) -> None:
    engine, pid = alone
    published = {"PortBindings": {"80/tcp": [{"HostPort": str(PORT)}]}}
    one, two = (created(engine, name, **published) for name in ("one", "two"))
    hidden = created(engine, "hidden")  # which comes to have the address that the port led to
    netns = opened_of(pid)
    try:
        with Askers(netns) as askers:
            for turn in range(turns):
                now, after = (one, two) if turn % 2 else (two, one)
                calls.start(engine, now)
                askers.hear()
                kill(engine, now)
                calls.start(engine, hidden)
                calls.start(engine, after)
                askers.hear()
                kill(engine, hidden)
                kill(engine, after)
        assert askers.heard == {b"one", b"two"}
    finally:
        os.close(netns)
        for container in (one, two, hidden):
            calls.remove(engine, container)
