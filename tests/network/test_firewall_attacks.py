"""What a container's root, or a neighbour of the machine, tries against the firewall."""

from collections.abc import Callable

import pytest
from msgspec import structs

from ipycontainer_runtime.network.firewall import Firewall
from ipycontainer_runtime.store.networks import Published
from support.netlab import Host
from support.routers import ROUTER, advertise
from support.town import BRIDGES, Town

RED = Published(
    protocol="tcp", host_address="0.0.0.0", host_port=8080, address="172.30.1.2", port=80
)
PRIVATE = Published(
    protocol="tcp", host_address="127.0.0.1", host_port=8081, address="172.30.1.2", port=80
)


def send_loopback_out(host: Host, gateway: str) -> None:
    """Have a host send what is for 127.0.0.0/8 to a gateway, as its root can."""
    host.ip(
        f"route add 127.0.0.0/8 via {gateway} table 5",
        "rule add from all lookup 5 pref 1",
        "rule add from all lookup local pref 2",
        "rule del pref 0",
    )
    for device in ("all", "eth0"):
        host.set(f"ipv4/conf/{device}/route_localnet", "1")


def test_a_neighbour_who_knows_the_way_reaches_no_container(town: Town, firewall: Firewall) -> None:
    firewall.publish([RED])
    asked = [
        town.neighbour.ask("172.30.1.2", 80),
        town.neighbour.ask("172.30.1.2", 80, "udp"),
        town.neighbour.ask("172.30.2.2", 80),
        town.neighbour.ask("fd00:1::2", 80),
    ]
    assert asked == ["silence"] * 4


def test_a_neighbour_does_not_reach_a_port_of_the_loopback_address(
    town: Town, firewall: Firewall
) -> None:
    firewall.publish([PRIVATE])
    assert town.gate.ask("127.0.0.1", 8081).startswith("red ")
    send_loopback_out(town.neighbour, "198.51.100.1")
    assert town.neighbour.ask("127.0.0.1", 8081, source="198.51.100.2") == "silence"


def test_a_container_does_not_reach_the_machine_s_loopback(town: Town, firewall: Firewall) -> None:
    firewall.publish([PRIVATE])
    for kind in ("tcp", "udp"):
        town.lab.serve(town.gate, "gate", "127.0.0.1", 82, kind)
    send_loopback_out(town.blue, "172.30.2.1")
    asked = [
        town.blue.ask("127.0.0.1", 82, source="172.30.2.2"),
        town.blue.ask("127.0.0.1", 82, "udp", source="172.30.2.2"),
        town.blue.ask("127.0.0.1", 8081, source="172.30.2.2"),
    ]
    assert asked == ["silence"] * 3


def test_a_container_is_no_router_of_the_machine(town: Town, firewall: Firewall) -> None:
    """CVE-2020-13401; on bridges that were not told to take no router's word."""
    town.gate.set("ipv6/conf/all/forwarding", "0")
    for box in (town.red, town.blue, town.inner):
        advertise(box)
        box.ask("172.30.1.1", 1)  # so that what was sent before has come
    assert ROUTER not in town.gate.run("ip", "-6", "route")


@pytest.mark.parametrize("source", ["172.30.2.9", "203.0.113.5"])
def test_nothing_leaves_a_network_with_another_s_address(
    town: Town, firewall: Firewall, source: str
) -> None:
    seen = town.lab.serve(town.neighbour, "neighbour", "198.51.100.2", 90, "udp")
    town.red.ip(f"addr add {source}/32 dev eth0")
    assert town.red.ask("198.51.100.2", 90, "udp", source=source) == "silence"
    assert town.red.ask("198.51.100.2", 90, "udp") == "neighbour 198.51.100.1"
    assert seen == ["198.51.100.1"]


def test_nothing_leaves_a_network_with_another_s_ipv6_address(
    town: Town, firewall: Firewall
) -> None:
    seen = town.lab.serve(town.neighbour, "neighbour", "2001:db8:1::2", 90, "udp")
    town.red.ip("addr add fd00:2::5/128 dev eth0 nodad")
    asked = [
        town.red.ask("2001:db8:1::2", 90, "udp", source=source)
        for source in ("fd00:1::2", "fd00:2::5", "fd00:1::2")
    ]
    assert asked == ["neighbour 2001:db8:1::1", "silence", "neighbour 2001:db8:1::1"]
    assert seen == ["2001:db8:1::1"] * 2


def test_the_other_bridge_s_own_address_is_no_way_across(town: Town, firewall: Firewall) -> None:
    mac = town.gate.run("ip", "-o", "link", "show", "br-blue").split("link/ether ")[1].split()[0]
    town.red.ip(f"neigh replace 172.30.1.1 lladdr {mac} dev eth0")
    assert town.red.ask("172.30.2.2", 80) == "silence"
    town.red.ip("neigh flush dev eth0")
    town.red.ip("route add 172.30.2.1 dev eth0")
    town.red.ip("route add 172.30.2.0/24 via 172.30.2.1")
    assert town.red.ask("172.30.2.2", 80) == "silence"


def test_a_published_port_leads_into_no_internal_network(town: Town, firewall: Firewall) -> None:
    seen = town.lab.serve(town.inner, "inner", "172.30.3.2", 90, "udp")
    firewall.publish(
        [structs.replace(RED, protocol="udp", host_port=8083, address="172.30.3.2", port=90)]
    )
    assert town.neighbour.ask("198.51.100.1", 8083, "udp") == "silence"
    assert seen == []


def test_nothing_that_an_internal_network_sends_gets_out(town: Town, firewall: Firewall) -> None:
    seen = town.lab.serve(town.neighbour, "neighbour", "198.51.100.2", 90, "udp")
    assert town.inner.ask("198.51.100.2", 90, "udp") == "silence"
    assert seen == []


def test_containers_that_may_not_talk_do_not_by_the_gateway(town: Town, firewall: Firewall) -> None:
    firewall.apply([BRIDGES[0]._replace(talking=False)])
    town.red.ip("route add 172.30.1.3 via 172.30.1.1")
    town.gate.set("ipv4/conf/br-red/send_redirects", "0")
    assert town.red.ask("172.30.1.3", 80) == "silence"


IP_FORWARD, FORWARDING = "ipv4/ip_forward", "ipv6/conf/all/forwarding"


@pytest.mark.parametrize("off", [(IP_FORWARD,), (FORWARDING,), (IP_FORWARD, FORWARDING)])
def test_the_machine_does_not_become_a_router_for_its_neighbours(
    town: Town, make_firewall: Callable[..., Firewall], off: tuple[str, ...]
) -> None:
    other = town.lab.host("other")
    town.lab.wire(town.gate, "eth1", other, "eth0")
    for host, last in ((town.gate, 1), (other, 2)):
        dev = "dev eth1" if host is town.gate else "dev eth0"
        host.ip(
            f"addr add 203.0.113.{last}/24 {dev}", f"addr add 2001:db8:2::{last}/64 {dev} nodad"
        )
    other.ip("route add default via 203.0.113.1", "route add default via 2001:db8:2::1")
    town.neighbour.ip(
        "route add 203.0.113.0/24 via 198.51.100.1", "route add 2001:db8:2::/64 via 2001:db8:1::1"
    )
    addresses = {IP_FORWARD: "203.0.113.2", FORWARDING: "2001:db8:2::2"}
    for setting, address in addresses.items():
        town.lab.serve(other, "other", address, 80)
        town.gate.set(setting, "0" if setting in off else "1")
    firewall = make_firewall()
    firewall.apply(BRIDGES)
    for again in (False, True):
        if again:
            make_firewall().apply(BRIDGES)
        assert town.red.ask("203.0.113.2", 80) == "other 203.0.113.1"
        assert town.red.ask("2001:db8:2::2", 80) == "other 2001:db8:2::1"
        for setting, address in addresses.items():
            assert (town.neighbour.ask(address, 80) == "silence") is (setting in off)
    town.remove(*BRIDGES)
    firewall.close()
    for setting in addresses:
        assert town.gate.get(setting) == ("0" if setting in off else "1")


def test_it_does_not_when_the_engine_that_began_leaves_first(
    town: Town, make_firewall: Callable[..., Firewall]
) -> None:
    town.remove(*BRIDGES[1:])
    other = town.lab.host("other")
    town.lab.wire(town.gate, "eth1", other, "eth0")
    town.gate.ip("addr add 203.0.113.1/24 dev eth1")
    other.ip("addr add 203.0.113.2/24 dev eth0", "route add default via 203.0.113.1")
    town.neighbour.ip("route add 203.0.113.0/24 via 198.51.100.1")
    town.lab.serve(other, "other", "203.0.113.2", 80)
    town.gate.set(IP_FORWARD, "0")
    first, second = make_firewall("ipyc-first"), make_firewall("ipyc-second")
    first.apply(BRIDGES[:1])
    town.gate.ip("link add br-blue type bridge", "link set br-blue up")
    second.apply(BRIDGES[1:2])
    town.remove(BRIDGES[0])
    first.close()
    assert town.neighbour.ask("203.0.113.2", 80) == "silence"
    town.gate.ip("link del br-blue")
    second.close()
    assert town.gate.get(IP_FORWARD) == "0"


@pytest.mark.parametrize("name", ['a" drop; }', "br-*", "a b", "", "x" * 16, "br\n"])
def test_a_name_is_never_more_than_a_name(
    town: Town, make_firewall: Callable[..., Firewall], name: str
) -> None:
    from ipycontainer_runtime.errors import InvalidParameter

    with pytest.raises(InvalidParameter, match="invalid bridge name"):
        make_firewall().apply([BRIDGES[0]._replace(device=name)])
