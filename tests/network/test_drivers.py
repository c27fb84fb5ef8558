"""What every driver of networks does, whatever it makes them of."""

import re
import secrets
from collections.abc import Callable, Iterator

import pytest

from ipycontainer_runtime.errors import (
    Conflict,
    Forbidden,
    InvalidParameter,
    NotImplementedHere,
    Unavailable,
)
from ipycontainer_runtime.linux import netlink
from ipycontainer_runtime.linux.netns import netlink_in
from ipycontainer_runtime.network.bridge import Bridge
from ipycontainer_runtime.network.driver import Driver
from ipycontainer_runtime.network.host import Nothing
from ipycontainer_runtime.store.networks import Endpoint, Network, Subnet
from support.netlab import Host, Lab
from support.routers import ROUTER, advertise

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def gate(lab: Lab) -> Host:
    return lab.host("gate")


DRIVERS: list[Callable[[Host], Driver]] = [
    lambda gate: Bridge(gate.place, "/root/of/a/test"),
    lambda gate: Nothing("host"),
    lambda gate: Nothing("null"),
]


@pytest.fixture(params=DRIVERS, ids=["bridge", "host", "null"])
def driver(request: pytest.FixtureRequest, gate: Host) -> Driver:
    made: Driver = request.param(gate)
    return made


@pytest.fixture
def bridge(gate: Host) -> Iterator[Bridge]:
    return Bridge(gate.place, "/root/of/a/test")


def network(**fields: object) -> Network:
    identity = secrets.token_hex(32)
    subnet = Subnet(subnet="10.77.0.0/16", gateway="10.77.0.1")
    base = {"id": identity, "name": "red", "driver": "bridge", "created": "", "subnets": [subnet]}
    return Network(**{**base, **fields})  # type: ignore[arg-type] # fields of several types


def endpoint(place: Network, last: int, **fields: object) -> Endpoint:
    base = {
        "id": secrets.token_hex(32),
        "network": place.id,
        "interface": "eth0",
        "device": f"veth{secrets.token_hex(4)}",
        "mac": f"02:42:0a:4d:00:{last:02x}",
        "ipv4": f"10.77.0.{last}/16",
        "gateway": "10.77.0.1",
        "default": True,
    }
    return Endpoint(**{**base, **fields})  # type: ignore[arg-type] # fields of several types


def devices(host: Host) -> set[str]:
    with netlink_in(host.netns) as socket:
        return {link.name for link in socket.links()}


def heard(host: Host, address: str) -> str:
    """Return what a server says, however busy the machine is."""
    for _ in range(40):
        if (said := host.ask(address, 80)) != "silence":
            return said
    return "silence"


def test_what_is_made_twice_is_there_once_and_removed_without_trace(
    driver: Driver, gate: Host, lab: Lab
) -> None:
    red, box, before = network(), lab.host("box"), devices(gate)
    end = endpoint(red, 2)
    driver.create(red)
    driver.create(red)
    driver.attach(red, end, box.netns)
    driver.detach(red, end)
    driver.detach(red, end)
    driver.remove(red)
    driver.remove(red)
    assert devices(gate) == before
    assert devices(box) == {"lo"}


def test_an_interface_ends_with_its_namespace(bridge: Bridge, gate: Host, lab: Lab) -> None:
    red, box = network(), lab.host("box")
    bridge.create(red)
    bridge.attach(red, endpoint(red, 2), box.netns)
    assert "eth0" in devices(box)
    bridge.remove(red)
    with netlink_in(box.netns) as socket:
        socket.do(netlink.remove_link("eth0"))
    assert devices(gate) == {"lo"}


def test_containers_on_one_bridge_reach_each_other_and_the_machine(
    bridge: Bridge, gate: Host, lab: Lab
) -> None:
    red, one, two = network(), lab.host("one"), lab.host("two")
    bridge.create(red)
    for host, last in ((one, 2), (two, 3)):
        bridge.attach(red, endpoint(red, last), host.netns)
    lab.serve(two, "two", "10.77.0.3", 80)
    lab.serve(gate, "gate", "10.77.0.1", 80)
    assert heard(one, "10.77.0.3").startswith("two")
    assert heard(one, "10.77.0.1").startswith("gate")


def test_without_talking_containers_reach_the_machine_alone(
    bridge: Bridge, gate: Host, lab: Lab
) -> None:
    red = network(options={"com.docker.network.bridge.enable_icc": "false"})
    one, two = lab.host("one"), lab.host("two")
    bridge.create(red)
    for host, last in ((one, 2), (two, 3)):
        bridge.attach(red, endpoint(red, last), host.netns)
    lab.serve(two, "two", "10.77.0.3", 80)
    lab.serve(gate, "gate", "10.77.0.1", 80)
    assert not one.ask("10.77.0.3", 80).startswith("two")
    assert heard(one, "10.77.0.1").startswith("gate")


def test_an_endpoint_has_what_it_describes(bridge: Bridge, gate: Host, lab: Lab) -> None:
    red = network(
        ipv6=True,
        subnets=[
            Subnet(subnet="10.77.0.0/16", gateway="10.77.0.1"),
            Subnet(subnet="fd77::/64", gateway="fd77::1"),
        ],
        options={"com.docker.network.driver.mtu": "1400"},
    )
    box = lab.host("box")
    bridge.create(red)
    six = {"ipv6": "fd77::2/64", "gateway6": "fd77::1"}
    bridge.attach(red, endpoint(red, 2, interface="eth3", **six), box.netns)
    said = box.run("ip", "address", "show", "eth3")
    for words in ("mtu 1400", "02:42:0a:4d:00:02", "10.77.0.2/16", "fd77::2/64"):
        assert words in said
    assert "default via 10.77.0.1" in box.run("ip", "route")
    assert "default via fd77::1" in box.run("ip", "-6", "route")
    lab.serve(gate, "gate", "fd77::1", 80)
    assert heard(box, "fd77::1").startswith("gate")


def test_without_ipv6_an_interface_has_no_address_of_it(
    bridge: Bridge, gate: Host, lab: Lab
) -> None:
    red, box = network(), lab.host("box")
    bridge.create(red)
    bridge.attach(red, endpoint(red, 2), box.netns)
    assert "inet6" not in box.run("ip", "address", "show", "eth0")
    assert "inet6" not in gate.run("ip", "address", "show", red.device)


def test_an_interface_is_one_that_announces_its_address(bridge: Bridge, lab: Lab) -> None:
    red, box = network(), lab.host("box")
    bridge.create(red)
    bridge.attach(red, endpoint(red, 2), box.netns)
    assert box.get("ipv4/conf/eth0/arp_notify") == "1"


def test_a_bridge_that_somebody_removed_is_made_again(bridge: Bridge, gate: Host, lab: Lab) -> None:
    red, box = network(), lab.host("box")
    bridge.create(red)
    gate.ip(f"link del {red.device}")
    bridge.attach(red, endpoint(red, 2), box.netns)
    lab.serve(gate, "gate", "10.77.0.1", 80)
    assert heard(box, "10.77.0.1").startswith("gate")


def test_nothing_is_left_of_an_attachment_that_fails(bridge: Bridge, gate: Host, lab: Lab) -> None:
    red, box = network(), lab.host("box")
    bridge.create(red)
    bridge.attach(red, endpoint(red, 2), box.netns)
    before = devices(gate)
    with pytest.raises(Unavailable, match="failed to set up container networking on red"):
        bridge.attach(red, endpoint(red, 3), box.netns)  # it has an eth0 already
    assert (devices(gate), devices(box)) == (before, {"lo", "eth0"})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("com.docker.network.driver.mtu", "x"),
        ("com.docker.network.driver.mtu", "67"),
        ("com.docker.network.driver.mtu", "65536"),
        ("com.docker.network.driver.mtu", "9" * 5000),
        ("com.docker.network.bridge.enable_icc", "perhaps"),
        ("com.docker.network.bridge.name", "a name"),
        ("com.docker.network.bridge.name", "a/name"),
        ("com.docker.network.bridge.name", "sixteencharacters"),
        ("com.docker.network.bridge.name", "br%d"),
        ("com.docker.network.bridge.name", "-A"),
        ("com.docker.network.bridge.name", ".."),
        ("com.docker.network.bridge.host_binding_ipv4", "here"),
        ("com.docker.network.container_iface_prefix", "a/b"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    bridge: Bridge, gate: Host, option: str, value: str
) -> None:
    with pytest.raises(InvalidParameter, match=re.escape(value[:60])):
        bridge.check(network(options={option: value}))


def test_an_option_that_is_not_supported_is_refused_by_name(bridge: Bridge) -> None:
    option = "com.docker.network.bridge.gateway_mode_ipv4"
    with pytest.raises(NotImplementedHere, match=option):
        bridge.check(network(options={option: "routed"}))


def test_an_interface_of_the_machines_is_no_networks_bridge(bridge: Bridge, gate: Host) -> None:
    gate.ip("link add mine type bridge")
    gate.ip("link add cable type veth peer name other")
    for name in ("mine", "cable", "lo"):
        red = network(options={"com.docker.network.bridge.name": name})
        with pytest.raises(Conflict, match=f"there is an interface {name}"):
            bridge.create(red)
        bridge.remove(red)
    assert devices(gate) == {"lo", "mine", "cable", "other"}
    assert "10.77" not in gate.run("ip", "address")


SIX = Subnet(subnet="fd77::/64", gateway="fd77::1")


@pytest.mark.parametrize("more", [(), (SIX,)], ids=["without IPv6", "with IPv6"])
def test_a_container_is_no_router_of_the_machine(
    bridge: Bridge, lab: Lab, gate: Host, more: tuple[Subnet, ...]
) -> None:
    """CVE-2020-13401; here without a firewall, which drops it as well."""
    red = network(ipv6=bool(more))
    red.subnets.extend(more)
    bridge.create(red)
    hostile = lab.host("hostile")
    bridge.attach(red, endpoint(red, 2), hostile.netns)
    lab.serve(gate, "gate", "10.77.0.1", 80)
    advertise(hostile)
    assert heard(hostile, "10.77.0.1") == "gate 10.77.0.2"  # so what was sent before has come
    assert ROUTER not in gate.run("ip", "-6", "route")
    assert "2001:db8:bad" not in gate.run("ip", "address")


def test_a_network_of_ipv6_has_it_where_new_interfaces_have_none(
    bridge: Bridge, gate: Host
) -> None:
    gate.set("ipv6/conf/default/disable_ipv6", "1")
    red = network(ipv6=True)
    red.subnets.append(SIX)
    bridge.create(red)
    assert "fd77::1/64" in gate.run("ip", "-6", "address", "show", "dev", red.device)


def test_there_is_one_network_of_a_driver_that_makes_nothing() -> None:
    with pytest.raises(Forbidden, match='only one instance of "host"'):
        Nothing("host").check(network(driver="host"))
