"""What is asked of networks and cannot be had: Docker's status and words, nothing half-made."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.calls import call
from support.engines import Engine, running_engine

pytestmark = [pytest.mark.ordinary_user, pytest.mark.needs("docker", "nft", "tun")]


@pytest.fixture(scope="module")
def engine(busybox: str) -> Iterator[Engine]:
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        running.succeed("tag", busybox, "box")
        running.succeed("network", "create", "--subnet", "10.5.0.0/16", "here")
        running.succeed("network", "create", "chosen")
        running.succeed("run", "-d", "--name", "one", "--network", "here", "box", "sleep", "1000")
        running.succeed("create", "--name", "still", "box", "true")
        running.succeed("create", "--name", "shared", "--network", "host", "box", "true")
        running.succeed("create", "--name", "alone", "--network", "none", "box", "true")
        yield running


def ipam(**config: object) -> dict[str, Any]:
    return {"IPAM": {"Config": [config]}}


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"Name": ""}, 400, "invalid name: "),
        ({"Name": "a/b"}, 400, "invalid network name (a/b)"),
        ({"Name": "a\nb"}, 400, "invalid network name"),
        ({"Name": "a" * 256}, 400, "255 of them at most"),
        ({"Name": "here"}, 409, "network with name here already exists"),
        ({"Name": "bridge"}, 403, "operation is not permitted on predefined bridge network"),
        ({"Name": "default"}, 403, "operation is not permitted on predefined default network"),
        ({"Driver": "nope"}, 404, 'plugin "nope" not found'),
        ({"Driver": "host"}, 403, 'only one instance of "host" network is allowed'),
        ({"Driver": "null"}, 403, 'only one instance of "null" network is allowed'),
        ({"IPAM": {"Driver": "nope"}}, 404, 'plugin "nope" not found'),
        (ipam(Subnet="10.5.1.0/24"), 403, "Pool overlaps with other one on this address space"),
        (ipam(Subnet="words"), 400, "invalid CIDR address: words"),
        (ipam(Subnet="10.6.0.0/16", Gateway="10.7.0.1"), 400, "no matching subnet for gateway"),
        (ipam(Subnet="10.6.0.0/31"), 500, "No available addresses on this pool"),
        (ipam(Subnet="10.6.0.0/32", Gateway="10.6.0.0"), 500, "10.6.0.0/32 is too small"),
        (ipam(Subnet="fd06::/128"), 500, "No available addresses on this pool"),
        (
            ipam(Subnet="10.6.0.0/30", AuxiliaryAddresses={"a": "10.6.0.1", "b": "10.6.0.2"}),
            500,
            "No available addresses on this pool",
        ),
        (ipam(Gateway="10.7.0.1"), 400, "every ip-range or gateway must have a corresponding"),
        (ipam(Subnet="fd00:5::/64"), 400, "give it --ipv6 as well"),
        (
            {"IPAM": {"Config": [{"Subnet": "10.6.0.0/16"}, {"Subnet": "10.7.0.0/16"}]}},
            400,
            "bridge driver doesn't support multiple subnets",
        ),
        ({"Options": {"com.docker.network.driver.mtu": "x"}}, 400, "driver.mtu value: x"),
        ({"Options": {"com.docker.network.bridge.name": "a" * 16}}, 400, "invalid bridge name"),
        ({"ConfigOnly": True}, 501, "ConfigOnly and ConfigFrom are not supported"),
        ({"Scope": "swarm"}, 501, "networks of a swarm are not supported"),
        ({"Ingress": True}, 501, "networks of a swarm are not supported"),
        ({"EnableIPv4": False}, 501, "EnableIPv4=false is not supported"),
    ],
)
def test_a_network_that_cannot_be_made_is_refused(
    engine: Engine, fields: dict[str, Any], status: int, words: str
) -> None:
    before = call(engine, "GET", "/networks").body
    reply = call(engine, "POST", "/networks/create", {"Name": "new", **fields})
    assert (reply.status, words in reply.message) == (status, True), reply.message
    assert call(engine, "GET", "/networks").body == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "nope", None, 404, "network nope not found"),
        ("GET", "here?scope=swarm", None, 404, "network here not found"),
        ("DELETE", "nope", None, 404, "network nope not found"),
        ("DELETE", "bridge", None, 403, "bridge is a pre-defined network and cannot be removed"),
        ("DELETE", "here", None, 403, "has active endpoints"),
        ("POST", "here/connect", {}, 400, 'invalid name or ID supplied: ""'),
        ("POST", "nope/connect", {"Container": "one"}, 404, "network nope not found"),
        ("POST", "here/connect", {"Container": "nope"}, 404, "No such container: nope"),
        ("POST", "here/connect", {"Container": "one"}, 403, "endpoint with name one already"),
        ("POST", "host/connect", {"Container": "one"}, 403, "cannot be disconnected from host"),
        ("POST", "none/connect", {"Container": "one"}, 403, "in private (none) mode"),
        ("POST", "here/connect", {"Container": "alone"}, 403, "in private (none) mode"),
        ("POST", "here/connect", {"Container": "shared"}, 403, "container sharing network"),
        ("POST", "host/disconnect", {"Container": "shared"}, 403, "cannot be disconnected from"),
        ("POST", "here/disconnect", {"Container": "still"}, 409, "is not connected to network"),
        (
            "POST",
            "here/disconnect",
            {"Container": "nope", "Force": True},
            404,
            "endpoint nope not found",
        ),
    ],
)
def test_what_a_network_cannot_do_is_refused(
    engine: Engine, method: str, path: str, body: Any, status: int, words: str
) -> None:
    reply = call(engine, method, f"/networks/{path}", body)
    assert (reply.status, words in reply.message) == (status, True), reply.message


@pytest.mark.parametrize(
    ("network", "settings", "status", "words"),
    [
        ("bridge", {"IPAMConfig": {"IPv4Address": "10.5.0.9"}}, 400, "user defined networks only"),
        ("chosen", {"IPAMConfig": {"IPv4Address": "10.5.0.9"}}, 400, "user configured subnets"),
        ("here", {"IPAMConfig": {"IPv4Address": "10.6.0.9"}}, 400, "It does not belong to any"),
        ("here", {"IPAMConfig": {"IPv4Address": "words"}}, 400, "invalid IPv4 address: words"),
        ("here", {"IPAMConfig": {"IPv6Address": "10.5.0.9"}}, 400, "invalid IPv6 address"),
        ("bridge", {"Aliases": ["x"]}, 400, "network-scoped alias is supported only for"),
        ("here", {"Aliases": ["a b"]}, 400, "invalid network alias"),
        ("here", {"MacAddress": "01:00:00:00:00:01"}, 400, "multicast"),
    ],
)
def test_a_place_that_cannot_be_had_is_refused(
    engine: Engine, network: str, settings: dict[str, Any], status: int, words: str
) -> None:
    asked = {"Container": "still", "EndpointConfig": settings}
    if network == "bridge":
        engine.succeed("network", "disconnect", "bridge", "still")
    try:
        reply = call(engine, "POST", f"/networks/{network}/connect", asked)
        assert (reply.status, words in reply.message) == (status, True), reply.message
    finally:
        if network == "bridge":
            engine.succeed("network", "connect", "bridge", "still")


@pytest.mark.parametrize(
    ("host", "config", "words"),
    [
        ({"NetworkMode": "container:"}, {}, "invalid container format container:<name|id>"),
        ({"NetworkMode": "container:nope"}, {}, "No such container: nope"),
        ({"NetworkMode": "container:one"}, {"Hostname": "x"}, "hostname and the network mode"),
        ({"NetworkMode": "container:one", "Dns": ["1.1.1.1"]}, {}, "dns and the network mode"),
        (
            {"NetworkMode": "container:one", "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
            {},
            "port publishing and the container type network mode",
        ),
        (
            {"NetworkMode": "container:one"},
            {"ExposedPorts": {"80/tcp": {}}},
            "port exposing and the container type network mode",
        ),
        (
            {"NetworkMode": "container:one", "ExtraHosts": ["a:1.1.1.1"]},
            {},
            "custom host-to-IP mapping and the network mode",
        ),
        ({"NetworkMode": "host", "Links": ["one"]}, {}, "host type networking can't be used"),
        ({"Links": ["nope"]}, {}, "could not get container for nope"),
        ({"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}, {}, "invalid port specification"),
        ({"PortBindings": {"80/tcp": [{"HostPort": "9-8"}]}}, {}, "invalid port range: 9-8"),
        ({"PortBindings": {"80/tcp": [{"HostIp": "x"}]}}, {}, "invalid IP address: x"),
        ({"PortBindings": {"99999/tcp": []}}, {}, "invalid port specification"),
        ({"PortBindings": {"80/icmp": []}}, {}, "invalid proto: icmp"),
        ({}, {"MacAddress": "zz"}, "zz is not a valid mac address"),
    ],
)
def test_a_container_that_asks_for_what_does_not_go_together_is_refused(
    engine: Engine, host: dict[str, Any], config: dict[str, Any], words: str
) -> None:
    body = {"Image": "box", "Cmd": ["true"], "HostConfig": host, **config}
    reply = call(engine, "POST", "/containers/create", body)
    assert (reply.status, words in reply.message) == (400, True), reply.message


def test_a_start_in_a_network_that_is_not_there_is_refused(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "--network", "nope", "box", "true")
    assert done.returncode == 125
    assert b"network nope not found" in done.stderr


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ('{"name":["er"]}', ["here"]),
        ('{"driver":["null"]}', ["none"]),
        ('{"type":["builtin"]}', ["bridge", "host", "none"]),
        ('{"dangling":["true"]}', ["chosen"]),
        ('{"scope":["global"]}', []),
        ('{"label":["x"]}', []),
    ],
)
def test_networks_are_filtered(engine: Engine, filters: str, names: list[str]) -> None:
    found = call(engine, "GET", f"/networks?filters={filters}").body
    assert [network["Name"] for network in found] == names


@pytest.mark.parametrize("filters", ['{"x":["1"]}', '{"type":["x"]}', '{"dangling":["x"]}'])
def test_a_filter_that_means_nothing_is_refused(engine: Engine, filters: str) -> None:
    assert call(engine, "GET", f"/networks?filters={filters}").status == 400


def test_a_network_is_found_by_name_id_and_the_ids_beginning(engine: Engine) -> None:
    identity = call(engine, "GET", "/networks/here").body["Id"]
    for reference in (identity, identity[:12], "here"):
        assert call(engine, "GET", f"/networks/{reference}").body["Name"] == "here"
