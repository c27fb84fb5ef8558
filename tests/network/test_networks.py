"""Containers in networks of a real engine: who reaches whom, and what they are told."""

import io
import ipaddress
import json
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.alone import IMAGE, docker_alone
from support.calls import call
from support.engines import Engine, running_engine

pytestmark = [pytest.mark.ordinary_user, pytest.mark.needs("docker", "nft", "tun")]

WEB = ("sh", "-c", "echo $0 > /tmp/index.html; exec httpd -f -p 80 -h /tmp")


@pytest.fixture(scope="module")
def home(busybox: str) -> Iterator[Engine]:
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        running.succeed("tag", busybox, "box")
        yield running


@pytest.fixture
def engine(home: Engine) -> Iterator[Engine]:
    yield home
    home.remove_containers()
    home.succeed("network", "prune", "-f")


def web(engine: Engine, name: str, *flags: str) -> None:
    """Run a server that answers with its name, and wait until it does."""
    engine.succeed("run", "-d", "--name", name, *flags, "box", *WEB, name)
    waiting = "until wget -qO- http://127.0.0.1; do usleep 10000; done"
    assert engine.succeed("exec", name, "timeout", "20", "sh", "-c", waiting) == name


def asked(engine: Engine, asking: str, host: str) -> str:
    """Return what a container hears from a host, or nothing."""
    said = engine.docker("exec", asking, "timeout", "1", "wget", "-qO-", f"http://{host}/")
    return said.stdout.decode().strip()


def inspect(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = call(engine, "GET", f"/containers/{name}/json").body
    return found["NetworkSettings"]  # type: ignore[no-any-return] # a JSON object


def test_a_container_has_an_address_a_name_for_it_and_a_way_out(engine: Engine) -> None:
    web(engine, "one")
    shown = inspect(engine, "one")
    gateway, address = shown["Gateway"], shown["IPAddress"]
    assert ipaddress.ip_address(gateway) + 1 == ipaddress.ip_address(address)
    assert shown["Networks"]["bridge"]["IPAddress"] == address
    hosts = engine.succeed("exec", "one", "cat", "/etc/hosts")
    assert hosts.endswith(f"{address}\t{engine.succeed('exec', 'one', 'hostname')}")
    assert f"default via {gateway}" in engine.succeed("exec", "one", "ip", "route")


def test_containers_on_the_default_bridge_reach_each_other_by_address(engine: Engine) -> None:
    web(engine, "one")
    web(engine, "two")
    assert asked(engine, "two", inspect(engine, "one")["IPAddress"]) == "one"
    assert asked(engine, "two", "one") == ""


def test_names_aliases_and_short_ids_are_resolved_in_networks_of_ones_own(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    web(engine, "one", "--network", "red", "--network-alias", "uno")
    web(engine, "two", "--network", "red")
    identity = call(engine, "GET", "/containers/one/json").body["Id"][:12]
    for name in ("one", "uno", identity, "one.red"):
        assert asked(engine, "two", name) == "one", name
    engine.succeed("rename", "one", "first")
    assert asked(engine, "two", "first") == "one"
    assert asked(engine, "two", "one") == ""


def test_two_networks_cannot_see_each_other(engine: Engine) -> None:
    for name in ("red", "blue"):
        engine.succeed("network", "create", name)
        web(engine, f"in-{name}", "--network", name)
    address = inspect(engine, "in-red")["Networks"]["red"]["IPAddress"]
    assert asked(engine, "in-blue", address) == ""
    assert asked(engine, "in-blue", "in-red") == ""


def test_a_container_is_put_into_a_network_and_taken_out_while_it_runs(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    web(engine, "one", "--network", "red")
    web(engine, "two")
    assert asked(engine, "two", "one") == ""
    engine.succeed("network", "connect", "--alias", "dos", "red", "two")
    assert asked(engine, "two", "one") == "one"
    assert asked(engine, "one", "dos") == "two"
    engine.succeed("network", "disconnect", "bridge", "two")
    gateway = inspect(engine, "two")["Networks"]["red"]["Gateway"]
    assert f"default via {gateway}" in engine.succeed("exec", "two", "ip", "route")
    engine.succeed("network", "disconnect", "red", "two")
    assert engine.succeed("exec", "two", "ls", "/sys/class/net") == "lo"
    assert asked(engine, "one", "dos") == ""
    engine.succeed("network", "rm", "--force", "blue")


def test_a_container_is_created_in_several_networks_at_once(engine: Engine) -> None:
    for name in ("red", "blue"):
        engine.succeed("network", "create", name)
    settings = {"red": {"GwPriority": 5, "Aliases": ["r"]}, "blue": {}}
    body = {
        "Image": "box",
        "Cmd": ["sleep", "1000"],
        "HostConfig": {"NetworkMode": "blue"},
        "NetworkingConfig": {"EndpointsConfig": settings},
    }
    refused = call(engine, "POST", "/containers/create?name=both", body, "v1.43")
    assert (refused.status, refused.message) == (
        400,
        "Container cannot be connected to network endpoints: blue, red",
    )
    assert call(engine, "POST", "/containers/create?name=both", body).status == 201
    engine.succeed("start", "both")
    found = inspect(engine, "both")["Networks"]
    assert [*found] == ["blue", "red"]
    gateway = found["red"]["Gateway"]
    assert f"default via {gateway}" in engine.succeed("exec", "both", "ip", "route")
    engine.succeed("restart", "-t", "0", "both")
    assert [*inspect(engine, "both")["Networks"]] == ["blue", "red"]


def test_a_container_is_found_by_its_hostname(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    web(engine, "one", "--network", "red", "--hostname", "front")
    web(engine, "two", "--network", "red")
    assert asked(engine, "two", "front") == "one"
    assert inspect(engine, "one")["Networks"]["red"]["DNSNames"][-1] == "front"


def test_a_hosts_file_without_end_is_not_read(engine: Engine) -> None:
    """A container's root can make it so in no time; the engine would have all of it in memory."""
    for name in ("red", "blue"):
        engine.succeed("network", "create", name)
    web(engine, "one", "--network", "red")
    engine.succeed("exec", "one", "truncate", "-s", "64M", "/etc/hosts")
    engine.succeed("network", "connect", "blue", "one")
    engine.succeed("network", "disconnect", "red", "one")
    size, blocks = engine.succeed("exec", "one", "stat", "-c", "%s %b", "/etc/hosts").split()
    assert (size, int(blocks) < 100) == (str(64 << 20), True)


def test_a_container_shares_anothers_network(engine: Engine) -> None:
    web(engine, "one")
    shared = ("run", "--rm", "--network", "container:one", "box")
    assert engine.succeed(*shared, "wget", "-qO-", "http://127.0.0.1") == "one"
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        assert engine.succeed(*shared, "cat", path) == engine.succeed("exec", "one", "cat", path)


def test_static_addresses_and_macs_are_kept_over_a_restart(engine: Engine) -> None:
    engine.succeed("network", "create", "--subnet", "10.213.0.0/24", "red")
    fixed = ("--ip", "10.213.0.77", "--mac-address", "02:00:00:00:00:07")
    web(engine, "one", "--network", "red", *fixed)
    for _ in range(2):
        said = engine.succeed("exec", "one", "ip", "address", "show", "eth0")
        assert "10.213.0.77/24" in said
        assert "02:00:00:00:00:07" in said
        engine.succeed("restart", "-t", "0", "one")
    taken = engine.docker("run", "--rm", "--network", "red", "--ip", "10.213.0.77", "box", "true")
    assert b"Address already in use" in taken.stderr


def test_ipv6_is_there_when_it_was_asked_for(engine: Engine) -> None:
    engine.succeed("network", "create", "--ipv6", "--subnet", "fd00:213::/64", "red")
    web(engine, "one", "--network", "red")
    web(engine, "two", "--network", "red")
    address = inspect(engine, "one")["Networks"]["red"]["GlobalIPv6Address"]
    assert asked(engine, "two", f"[{address}]") == "one"
    assert "default via fd00:213::1" in engine.succeed("exec", "one", "ip", "-6", "route")


def test_nothing_leaves_an_internal_network(engine: Engine) -> None:
    engine.succeed("network", "create", "--internal", "red")
    web(engine, "one", "--network", "red")
    web(engine, "two", "--network", "red")
    assert asked(engine, "two", "one") == "one"
    assert "default" not in engine.succeed("exec", "one", "ip", "route")
    assert inspect(engine, "one")["Networks"]["red"]["Gateway"] == ""


def test_published_ports_lead_in_and_are_free_again(engine: Engine) -> None:
    web(engine, "one", "-p", "127.0.0.1::80", "--expose", "7", "-P")
    ports = inspect(engine, "one")["Ports"]
    assert sorted(ports) == ["7/tcp", "80/tcp"]
    [binding] = ports["80/tcp"]
    port = binding["HostPort"]
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}").read() == b"one\n"
    taken = engine.docker("run", "--rm", "-p", f"127.0.0.1:{port}:80", "box", "true")
    assert b"driver failed programming external connectivity on endpoint" in taken.stderr
    assert f"Bind for 127.0.0.1:{port} failed: port is already allocated".encode() in taken.stderr
    engine.succeed("rm", "-f", "one")
    web(engine, "two", "-p", f"127.0.0.1:{port}:80")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}").read() == b"two\n"


def test_a_link_is_a_name_on_the_default_bridge(engine: Engine) -> None:
    web(engine, "one")
    linked = engine.succeed("run", "--rm", "--link", "one:uno", "box", "wget", "-qO-", "http://uno")
    assert linked == "one"


@pytest.mark.needs("dockerd", "root")
def test_links_are_told_in_dockers_variables(engine: Engine) -> None:
    ports = ("80", "81", "82", "90/udp", "100", "101")
    flags = [word for port in ports for word in ("--expose", port)]
    told = []
    with docker_alone() as (docker, _):
        for host, image in ((docker, IMAGE), (engine, "box")):
            host.succeed("run", "-d", "--name", "db-1", "-e", "A=b=c", *flags, image, "sleep", "99")
            links = ("--link", "db-1:the-store", "--link", "db-1")
            host.succeed("run", "-d", "--name", "web", *links, image, "sleep", "99")
            address = host.succeed("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db-1")
            for asked in (("exec", "web"), ("run", "--rm", "--name", "two", *links, image)):
                said = host.succeed(*asked, "env").replace(address, "ADDRESS").splitlines()
                told.append({line for line in said if line.startswith(("THE_STORE", "DB_1"))})
    assert told[0] == told[2]
    assert told[1] == told[3]
    assert "THE_STORE_PORT_80_TCP_START=tcp://ADDRESS:80" in told[2]


def test_nobody_is_linked_to_a_container_that_does_not_run(engine: Engine) -> None:
    engine.succeed("create", "--name", "one", "box", "true")
    refused = engine.docker("run", "--rm", "--name", "two", "--link", "one:uno", "box", "true")
    assert b"Cannot link to a non running container: /one AS /two/uno" in refused.stderr


def test_the_machine_has_a_name_where_that_was_asked_for(engine: Engine) -> None:
    added = ("--add-host", "machine:host-gateway", "--add-host", "other:192.0.2.7")
    hosts = engine.succeed("run", "--rm", *added, "box", "cat", "/etc/hosts")
    [bridge] = call(engine, "GET", "/networks/bridge").body["IPAM"]["Config"]
    assert f"{bridge['Gateway']}\tmachine" in hosts
    assert "192.0.2.7\tother" in hosts


def test_low_ports_are_nobodys_in_a_container(engine: Engine) -> None:
    script = "timeout 1 httpd -f -p 80; test $? -ne 1 && echo served"
    assert engine.succeed("run", "--rm", "-u", "1000", "box", "sh", "-c", script) == "served"


@pytest.mark.parametrize("flags", [("--pid", "host"), ("--cgroupns", "host"), ("--uts", "host")])
def test_a_container_that_shares_other_things_has_a_network_of_its_own(
    engine: Engine, flags: tuple[str, ...]
) -> None:
    listed = engine.succeed("run", "--rm", *flags, "box", "ip", "-o", "-4", "address")
    assert [line.split()[1] for line in listed.splitlines()] == ["lo", "eth0"]


def test_steps_of_builds_have_a_network(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    web(engine, "one", "--network", "red")
    steps = b"FROM box\nRUN wget -qO- http://one > /heard\nRUN --network=none ip -o link > /links\n"
    built = engine.client.api.build(
        fileobj=io.BytesIO(steps), network_mode="red", tag="built", decode=True
    )
    assert not [line for line in built if "error" in line]
    assert engine.succeed("run", "--rm", "--network", "none", "built", "cat", "/heard") == "one"
    assert (
        engine.succeed("run", "--rm", "--network", "none", "built", "wc", "-l", "/links")[0] == "1"
    )


def test_events_tell_who_came_and_who_went(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    since = f"{time.time():.9f}"
    engine.succeed("run", "--rm", "--network", "red", "box", "true")
    engine.succeed("network", "rm", "red")
    until = f"{time.time():.9f}"
    said = engine.succeed("events", "--since", since, "--until", until, "--format", "json")
    events = [json.loads(line) for line in said.splitlines()]
    told = [(event["Type"], event["Action"]) for event in events]
    assert told == [
        ("container", "create"),
        ("container", "attach"),
        ("network", "connect"),
        ("container", "start"),
        ("container", "die"),
        ("network", "disconnect"),
        ("container", "destroy"),
        ("network", "destroy"),
    ]


def test_a_network_with_somebody_in_it_is_not_removed(engine: Engine) -> None:
    engine.succeed("network", "create", "red")
    web(engine, "one", "--network", "red")
    identity = call(engine, "GET", "/networks/red").body["Id"]
    refused = call(engine, "DELETE", "/networks/red")
    words = f"error while removing network: network red id {identity} has active endpoints"
    assert (refused.status, refused.message) == (403, words)
    assert engine.succeed("network", "prune", "-f") == ""
    engine.succeed("rm", "-f", "one")
    assert "red" in engine.succeed("network", "prune", "-f")
    assert "red" not in engine.succeed("network", "ls").split()


def test_networks_that_are_made_side_by_side_have_subnets_of_their_own(engine: Engine) -> None:
    def make(number: int) -> int:
        return call(engine, "POST", "/networks/create", {"Name": f"side{number}"}).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(make, range(8))) == {201}
