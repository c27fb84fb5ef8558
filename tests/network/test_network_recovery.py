"""Networks outlive their engine, whichever way it goes, and are swept when nobody needs them."""

import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from support import leftovers
from support.calls import call
from support.engines import Engine, engine_folder, running_engine

pytestmark = pytest.mark.needs("root", "docker", "nft")

WEB = ("sh", "-c", "echo $0 > /tmp/index.html; exec httpd -f -p 80 -h /tmp")

FAILED = "wget -qO- http://one > /dev/null || echo x >> /failed"
ASKING = ("sh", "-c", f": > /failed; while :; do {FAILED}; done")


@pytest.fixture
def engine(busybox: str) -> Iterator[Engine]:
    with running_engine() as running:
        prepare(running, busybox)
        yield running


def prepare(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    engine.succeed("tag", busybox, "box")


def web(engine: Engine, name: str, *flags: str) -> str:
    """Run a server that answers with its name, and return where it is published."""
    engine.succeed("run", "-d", "--name", name, "-p", "127.0.0.1::80", *flags, "box", *WEB, name)
    waiting = "until wget -qO- http://127.0.0.1; do usleep 10000; done"
    assert engine.succeed("exec", name, "timeout", "20", "sh", "-c", waiting) == name
    return f"http://{engine.succeed('port', name, '80')}/"


def fetched(address: str) -> str:
    content: bytes = urllib.request.urlopen(address, timeout=10).read()
    return content.decode().strip()


def test_an_engine_that_is_killed_interrupts_nobody(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    address = web(engine, "one", "--network", "red")
    engine.succeed("run", "-d", "--name", "asking", "--network", "red", "box", *ASKING)
    failed: list[BaseException] = []
    over = threading.Event()

    def ask() -> None:
        try:
            while not over.is_set():
                assert fetched(address) == "one"
        except BaseException as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(2):
            engine.kill()
            assert fetched(address) == "one"
            engine.start()
    finally:
        over.set()
        asking.join()
    assert not failed
    assert engine.succeed("exec", "asking", "cat", "/failed") == ""
    assert fetched(f"http://{engine.succeed('port', 'one', '80')}/") == "one"


def test_a_new_engine_gives_nobodys_address_away(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.succeed("run", "-d", "--name", name, "box", "sleep", "1000")
    before = addresses(engine)
    engine.kill()
    engine.start()
    assert addresses(engine) == before
    engine.succeed("run", "-d", "--name", "three", "box", "sleep", "1000")
    assert len({*addresses(engine).values()}) == 3
    engine.succeed("network", "create", "red")
    engine.succeed("network", "connect", "red", "one")
    engine.succeed("rm", "-f", "one")
    engine.succeed("run", "-d", "--name", "four", "box", "sleep", "1000")
    assert addresses(engine)["four"] == before["one"]


def addresses(engine: Engine) -> dict[str, str]:
    inside = call(engine, "GET", "/networks/bridge").body["Containers"]
    return {place["Name"]: place["IPv4Address"] for place in inside.values()}


def test_what_ends_while_there_is_no_engine_leaves_nothing(engine: Engine) -> None:
    web(engine, "one")
    pid = call(engine, "GET", "/containers/one/json").body["State"]["Pid"]
    engine.kill()
    subprocess.run(["kill", "-9", str(pid)], check=True)
    assert not leftovers.outlived([pid])
    engine.start()
    assert addresses(engine) == {}
    engine.succeed("rm", "one")
    engine.succeed("run", "-d", "--name", "two", "box", "sleep", "1000")
    assert leftovers.interfaces(engine.paths.root)


def test_an_engine_that_leaves_takes_away_networks_without_containers(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    engine.succeed("run", "--rm", "--network", "red", "box", "true")
    engine.succeed("run", "-d", "--name", "one", "box", "sleep", "1000")
    assert len(leftovers.interfaces(engine.paths.root)) == 2
    client.stop(engine.paths)
    bridge = leftovers.interfaces(engine.paths.root)
    assert len(bridge) == 1
    engine.start()
    engine.succeed("exec", "one", "ip", "route")
    engine.succeed("rm", "-f", "one")
    client.stop(engine.paths)
    assert not leftovers.interfaces(engine.paths.root)
    assert not leftovers.tables(engine.paths.root)
    engine.start()
    assert engine.succeed("network", "ls", "-q", "--filter", "name=red")


def test_two_engines_do_not_collide(engine: Engine, busybox: str) -> None:
    with running_engine() as other:
        prepare(other, busybox)
        for each in (engine, other):
            each.succeed("network", "create", "red")
            assert web(each, "one") != ""
            web(each, "two", "--network", "red")
        found = [addresses(each)["one"] for each in (engine, other)]
        assert found[0] != found[1]
        for each in (engine, other):
            gateway = call(each, "GET", "/networks/red").body["IPAM"]["Config"][0]["Gateway"]
            route = each.succeed("exec", "two", "ip", "route")
            assert f"default via {gateway}" in route


def test_what_an_engine_left_whose_data_root_is_gone_is_swept(engine: Engine, busybox: str) -> None:
    with engine_folder() as gone:
        gone.start()
        prepare(gone, busybox)
        web(gone, "one")
        root = gone.paths.root
        assert leftovers.interfaces(root)
    assert leftovers.interfaces(root)
    client.stop(engine.paths)
    engine.start()
    assert not leftovers.eventually(lambda: leftovers.interfaces(root))
    assert not leftovers.tables(root)


def test_a_bridge_in_which_somebody_is_is_not_swept(engine: Engine, tmp_path: Path) -> None:
    """Its data root may be there for an engine that has other mounts, as in a container."""
    gone = tmp_path / "gone"
    alias = ("alias", f"ipycontainer:{gone}")
    try:
        for words in (
            ("add", "ipyc-full", "type", "bridge"),
            ("set", "ipyc-full", *alias),
            ("add", "ipyc-one", "type", "veth", "peer", "name", "ipyc-two"),
            ("set", "ipyc-one", "master", "ipyc-full"),
            ("add", "ipyc-empty", "type", "bridge"),
            ("set", "ipyc-empty", *alias),
        ):
            subprocess.run(["ip", "link", *words], check=True)
        client.stop(engine.paths)
        engine.start()
        assert leftovers.interfaces(gone) == ["ipyc-full"]
    finally:
        for name in ("ipyc-one", *leftovers.interfaces(gone)):
            subprocess.run(["ip", "link", "del", name], check=True)


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.long)])
def test_many_containers_find_each_other(engine: Engine, count: int) -> None:
    engine.succeed("network", "create", "crowd")
    names = [f"member{number}" for number in range(count)]
    for name in names:
        engine.succeed("run", "-d", "--name", name, "--network", "crowd", "box", *WEB, name)
    looking = f"for i in $(seq 0 {count - 1}); do timeout 5 wget -qO- http://member$i; done"
    assert engine.succeed("exec", names[0], "sh", "-c", looking).split() == names
    assert engine.succeed("exec", names[-1], "sh", "-c", looking).split() == names
    inside = call(engine, "GET", "/networks/crowd").body["Containers"]
    assert len({place["IPv4Address"] for place in inside.values()}) == count


def test_a_network_that_is_removed_while_its_bridge_is_made_leaves_none(engine: Engine) -> None:
    for _ in range(5):
        identity = call(engine, "POST", "/networks/create", {"Name": "brief"}).body["Id"]
        assert call(engine, "DELETE", f"/networks/{identity}").status == 204
    # Devices are made one after the other: once these are there, those are settled.
    engine.succeed("network", "create", "red")
    engine.succeed("run", "--rm", "--network", "red", "box", "true")
    assert len(leftovers.interfaces(engine.paths.root)) == 1


def test_a_port_is_free_as_soon_as_its_container_is_removed_or_stopped(engine: Engine) -> None:
    for words in (("rm", "-f"), ("stop", "-t", "0")):
        made = engine.succeed("run", "-d", "-p", "127.0.0.1::80", "box", "sleep", "1000")
        _, _, port = engine.succeed("port", made, "80").rpartition(":")
        engine.succeed(*words, made)
        rules = subprocess.run(["nft", "-n", "list", "ruleset"], capture_output=True, check=True)
        assert f" {port} :" not in rules.stdout.decode()
        with socket.create_server(("127.0.0.1", int(port))):
            pass
