"""An engine whose bridges stand in a place of its own: names, ports, and what is left."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from ipycontainer_runtime.linux.netns import may_configure
from ipycontainer_runtime.network import ownplace, uplink
from support import leftovers
from support.engines import Engine, running_engine

pytestmark = [
    pytest.mark.ordinary_user,
    pytest.mark.needs("docker", "nft", "pasta", "tun"),
    pytest.mark.skipif(may_configure(), reason="this engine makes its bridges on the machine"),
]
WEB = ("busybox", "sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp")


@pytest.fixture
def engine(busybox: str) -> Iterator[Engine]:
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        running.succeed("tag", busybox, "busybox")
        yield running


def test_containers_talk_by_name_and_are_published(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    engine.succeed("run", "-d", "--name", "web", "--network", "red", "-p", "127.0.0.1::80", *WEB)
    wait_for_web(engine)
    asking = ("busybox", "wget", "-qO-", "http://web")
    assert engine.succeed("run", "--rm", "--network", "red", *asking) == "hello"
    assert fetched(published(engine)) == b"hello\n"


def test_a_container_has_a_way_out(engine: Engine) -> None:
    said = engine.succeed("run", "--rm", "busybox", "ip", "route")
    assert said.startswith("default via 172.")
    said = engine.succeed("run", "--rm", "busybox", "cat", "/sys/class/net/eth0/mtu")
    assert int(said) == uplink.MTU
    assert uplinks(engine.paths.run)


def test_the_place_goes_with_an_engine_that_leaves_nothing_running(engine: Engine) -> None:
    engine.succeed("run", "--rm", "busybox", "true")
    assert uplinks(engine.paths.run)
    client.stop(engine.paths)
    assert not leftovers.eventually(lambda: uplinks(engine.paths.run))
    assert not (engine.paths.run / ownplace.RECORD).exists()


def test_the_place_stays_with_containers_when_the_engine_is_killed(engine: Engine) -> None:
    engine.succeed("run", "-d", "--name", "web", "-p", "127.0.0.1::80", *WEB)
    wait_for_web(engine)
    address = published(engine)
    engine.kill()
    assert fetched(address) == b"hello\n"
    engine.start()
    assert published(engine) == address
    assert fetched(address) == b"hello\n"


def wait_for_web(engine: Engine) -> None:
    """Return once the container `web` serves."""
    waiting = "until wget -qO- http://127.0.0.1; do usleep 10000; done"
    assert engine.succeed("exec", "web", "timeout", "20", "sh", "-c", waiting) == "hello"


def published(engine: Engine) -> str:
    """Return where port 80 of the container `web` is on the machine."""
    return engine.succeed("port", "web", "80").strip()


def fetched(address: str) -> bytes:
    """Return what is at an address of the machine."""
    with urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
        content = answer.read()
    assert isinstance(content, bytes)
    return content


def uplinks(run: Path) -> list[str]:
    """Return the processes that connect the place of an engine with this run folder."""
    mark = os.fsencode(run / "place")
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [leftovers.command(pid) for pid in pids if mark in leftovers.read(pid, "cmdline")]
