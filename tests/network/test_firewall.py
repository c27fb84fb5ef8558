"""The firewall: what reaches what, and by which address."""

import errno
import select
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.network.firewall import Bridge, Firewall, forwarding, sweep
from ipycontainer_runtime.network.firewall.guard import Guard
from ipycontainer_runtime.network.firewall.rules import Shape
from ipycontainer_runtime.network.firewall.tables import Tables
from ipycontainer_runtime.store.networks import Published
from support import leftovers
from support.town import BRIDGES, Town

KINDS = pytest.mark.parametrize("kind", ["tcp", "udp"])


def port(
    number: int, address: str, kind: str = "tcp", host: str = "0.0.0.0", inside: int = 80
) -> Published:
    """A published port."""
    return Published(
        protocol=kind, host_address=host, host_port=number, address=address, port=inside
    )


@KINDS
def test_a_container_reaches_the_outside_by_the_gate_s_address(
    town: Town, firewall: Firewall, kind: str
) -> None:
    assert town.red.ask("198.51.100.2", 80, kind) == "neighbour 198.51.100.1"


def test_a_container_reaches_the_outside_by_ipv6(town: Town, firewall: Firewall) -> None:
    assert town.red.ask("2001:db8:1::2", 80) == "neighbour 2001:db8:1::1"


def test_without_masquerade_it_keeps_its_own_address(town: Town, firewall: Firewall) -> None:
    firewall.apply([Bridge("br-red", ("172.30.1.0/24",), masquerade=False)])
    assert town.red.ask("198.51.100.2", 80) == "neighbour 172.30.1.2"


def test_containers_of_one_network_reach_each_other(town: Town, firewall: Firewall) -> None:
    assert town.red.ask("172.30.1.3", 80) == "pink 172.30.1.2"


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_they_do_whether_or_not_bridges_are_filtered(
    town: Town, firewall: Firewall, filtered: str
) -> None:
    town.gate.set("bridge/bridge-nf-call-iptables", filtered)
    assert town.red.ask("172.30.1.3", 80) == "pink 172.30.1.2"


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_networks_do_not_reach_each_other(town: Town, firewall: Firewall, filtered: str) -> None:
    town.gate.set("bridge/bridge-nf-call-iptables", filtered)
    asked = [
        town.red.ask("172.30.2.2", 80),
        town.blue.ask("172.30.1.2", 80),
        town.red.ask("172.30.2.2", 80, "udp"),
    ]
    assert asked == ["silence"] * 3


def test_an_internal_network_reaches_nothing_and_nothing_reaches_it(
    town: Town, firewall: Firewall
) -> None:
    town.lab.serve(town.gate, "gate", "0.0.0.0", 81)
    asked = [
        town.inner.ask("198.51.100.2", 80),
        town.inner.ask("172.30.1.2", 80),
        town.inner.ask("172.30.3.1", 81),
        town.red.ask("172.30.3.2", 80),
        town.neighbour.ask("172.30.3.2", 80),
    ]
    assert asked == ["silence"] * 5


def test_the_machine_itself_reaches_an_internal_network(town: Town, firewall: Firewall) -> None:
    assert town.gate.ask("172.30.3.2", 80) == "inner 172.30.3.1"


@KINDS
def test_a_published_port_is_reached_from_outside(
    town: Town, firewall: Firewall, kind: str
) -> None:
    firewall.publish([port(8080, "172.30.1.2", kind)])
    assert town.neighbour.ask("198.51.100.1", 8080, kind) == "red 198.51.100.2"


def test_a_published_port_is_reached_by_ipv6(town: Town, firewall: Firewall) -> None:
    firewall.publish([port(8080, "fd00:1::2", host="::")])
    assert town.neighbour.ask("2001:db8:1::1", 8080) == "red 2001:db8:1::2"


@pytest.mark.parametrize("address", ["127.0.0.1", "198.51.100.1", "172.30.1.1"])
@KINDS
def test_a_published_port_is_reached_from_the_machine_itself(
    town: Town, firewall: Firewall, address: str, kind: str
) -> None:
    firewall.publish([port(8080, "172.30.1.2", kind)])
    assert town.gate.ask(address, 8080, kind).startswith("red ")


def test_a_published_port_is_reached_from_another_network(town: Town, firewall: Firewall) -> None:
    firewall.publish([port(8080, "172.30.1.2")])
    asked = [town.blue.ask(gate, 8080) for gate in ("198.51.100.1", "172.30.2.1")]
    assert [answer.partition(" ")[0] for answer in asked] == ["red", "red"]


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_the_network_s_own_containers_are_left_to_the_relay(
    town: Town, firewall: Firewall, filtered: str
) -> None:
    town.gate.set("bridge/bridge-nf-call-iptables", filtered)
    town.lab.serve(town.gate, "relay", "0.0.0.0", 8080)
    firewall.publish([port(8080, "172.30.1.2")])
    asked = [host.ask("198.51.100.1", 8080) for host in (town.red, town.pink)]
    assert [answer.partition(" ")[0] for answer in asked] == ["relay", "relay"]


def test_a_port_of_one_address_is_at_no_other(town: Town, firewall: Firewall) -> None:
    town.gate.ip("addr add 198.51.100.7/24 dev eth0")
    firewall.publish([port(8080, "172.30.1.2", host="198.51.100.7")])
    assert town.neighbour.ask("198.51.100.7", 8080) == "red 198.51.100.2"
    assert town.neighbour.ask("198.51.100.1", 8080) == "Connection refused"


def test_a_port_that_was_taken_back_is_closed(town: Town, firewall: Firewall) -> None:
    ports = [port(8080, "172.30.1.2"), port(8080, "172.30.1.2", host="::1")]
    firewall.publish(ports)
    firewall.unpublish(ports)
    firewall.unpublish(ports)
    assert town.neighbour.ask("198.51.100.1", 8080) == "Connection refused"


@pytest.mark.parametrize(
    ("host", "red", "pink", "asked"),
    [
        ("0.0.0.0", "172.30.1.2", "172.30.1.3", "198.51.100.1"),
        ("::", "fd00:1::2", "fd00:1::3", "2001:db8:1::1"),
    ],
)
def test_who_goes_on_sending_reaches_the_container_that_comes_after(
    town: Town, firewall: Firewall, host: str, red: str, pink: str, asked: str
) -> None:
    town.pink.ip("addr add fd00:1::3/64 dev eth0 nodad", "route add default via fd00:1::1")
    town.lab.serve(town.pink, "pink", "::", 81, "udp")
    town.lab.serve(town.red, "red", "::", 81, "udp")
    before, after = (port(8080, to, "udp", host, 81) for to in (red, pink))
    with town.neighbour.socket("udp", asked) as sending:
        sending.settimeout(10)
        sending.connect((asked, 8080))
        said = []
        for gone, new in (([], before), ([before], after)):
            firewall.unpublish(gone)
            firewall.publish([new])
            sending.send(b"?")
            said.append(sending.recv(100).split()[0])
    assert said == [b"red", b"pink"]


def test_who_asked_a_container_that_has_gone_does_not_reach_another_at_its_address(
    town: Town, firewall: Firewall
) -> None:
    gone = port(8080, "172.30.1.9")
    firewall.publish([gone])
    with town.neighbour.socket("tcp", "198.51.100.1") as asking:
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.connect(("198.51.100.1", 8080))
        firewall.unpublish([gone])
        town.pink.ip("addr add 172.30.1.9/24 dev eth0")
        town.lab.serve(town.pink, "pink", "172.30.1.9", 80)
        assert select.select([], [asking], [], 10)[1], "the kernel asks once more after a second"
        assert asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_a_later_engine_finds_the_ports_and_keeps_those_it_wants(
    town: Town, make_firewall: Callable[..., Firewall], firewall: Firewall
) -> None:
    wanted, gone = port(8080, "172.30.1.2"), port(81, "172.30.1.3", host="198.51.100.1")
    six = port(8080, "fd00:1::2", "udp", host="::")
    firewall.publish([wanted, gone, six])
    later = make_firewall()
    assert set(later.published()) == {wanted, gone, six}
    later.apply(BRIDGES)
    later.keep([wanted])
    assert make_firewall().published() == [wanted]
    assert town.neighbour.ask("198.51.100.1", 8080) == "red 198.51.100.2"


def test_a_connection_outlives_the_renewal_of_the_rules(town: Town, firewall: Firewall) -> None:
    with town.red.socket("udp", "198.51.100.2") as kept:
        kept.connect(("198.51.100.2", 80))
        kept.settimeout(10)
        said = []
        for _ in range(2):
            kept.send(b"?")
            said.append(kept.recv(100))
            firewall.apply(BRIDGES[:1])
    assert said == [b"neighbour 198.51.100.1"] * 2


def test_nothing_is_left_of_it(town: Town, firewall: Firewall) -> None:
    firewall.publish([port(8080, "172.30.1.2")])
    firewall.close()
    firewall.close()
    assert "ipyc-test" not in town.gate.run("nft", "list", "ruleset")


def test_a_switch_that_may_not_be_set_is_told(
    town: Town,
    make_firewall: Callable[..., Firewall],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "ipv4").mkdir()
    (tmp_path / "ipv4/ip_forward").symlink_to("/sys/class/net/lo/carrier_changes")  # 0, always
    monkeypatch.setattr(forwarding, "_SETTINGS", tmp_path)
    firewall = make_firewall()
    firewall.apply(BRIDGES)
    assert firewall.lacks() == (
        "containers reach nothing outside by IPv4: cannot set net.ipv4.ip_forward: Permission"
        " denied; set it on the machine: `sysctl net.ipv4.ip_forward=1`"
    )
    assert town.red.ask("172.30.1.3", 80) == "pink 172.30.1.2"


def test_nothing_is_switched_on_before_the_rules_are_up(town: Town) -> None:
    town.gate.set("ipv4/ip_forward", "0")
    refused = Guard(town.gate.place, Tables(town.gate.place, "no name"), "ipyc-test")
    with pytest.raises(Unavailable, match="syntax error"):
        refused.apply(BRIDGES)
    assert town.gate.get("ipv4/ip_forward") == "0"


def test_whoever_takes_a_port_back_leaves_the_others_as_they_are(
    town: Town, make_firewall: Callable[..., Firewall], firewall: Firewall
) -> None:
    """The helper does where no engine is there, and knows of no bridges."""
    town.gate.set("bridge/bridge-nf-call-iptables", "1")
    town.lab.serve(town.gate, "relay", "0.0.0.0", 8081)
    taken, kept = port(8080, "172.30.1.2", "udp"), port(8081, "172.30.1.3")
    firewall.publish([taken, kept])
    make_firewall().unpublish([taken])
    assert "8080" not in town.gate.run("nft", "list", "ruleset")
    asked = [host.ask("198.51.100.1", 8081) for host in (town.neighbour, town.red)]
    assert [answer.partition(" ")[0] for answer in asked] == ["pink", "relay"]


def test_rules_that_somebody_removes_are_put_up_again(
    town: Town, make_firewall: Callable[..., Firewall]
) -> None:
    firewall = make_firewall()
    firewall.apply(BRIDGES)
    firewall.publish([port(8080, "172.30.1.2")])
    town.gate.run("nft", "flush", "ruleset")  # as Debian's nftables.service when it is reloaded

    def missing() -> list[str]:
        asked = (
            town.red.ask("198.51.100.2", 80) == "neighbour 198.51.100.1",
            town.red.ask("172.30.2.2", 80) == "silence",
            town.neighbour.ask("172.30.1.2", 80) == "silence",
            town.neighbour.ask("198.51.100.1", 8080) == "red 198.51.100.2",
        )
        return [] if all(asked) else [str(asked)]

    assert not leftovers.eventually(missing)
    firewall.close()
    assert "ipyc-test" not in town.gate.run("nft", "list", "ruleset")


def test_what_a_killed_engine_left_without_a_bridge_is_swept(town: Town) -> None:
    for name, bridges in (("ipyc-test", BRIDGES), ("ipyc-other", BRIDGES[:1])):
        rules = Tables(town.gate.place, name)
        rules.put(bridges, {}, Shape())
    town.gate.ip("link del br-red")
    sweep(town.gate.place)
    assert town.gate.run("nft", "list", "tables") == "table inet ipyc-test\n"


def test_two_engines_on_one_machine_are_kept_apart(
    town: Town, make_firewall: Callable[..., Firewall], firewall: Firewall
) -> None:
    firewall.apply(BRIDGES[:1])
    other = make_firewall("ipyc-other")
    other.apply(BRIDGES[1:])
    assert town.red.ask("172.30.2.2", 80) == "silence"
    assert town.blue.ask("198.51.100.2", 80) == "neighbour 198.51.100.1"
    other.close()
    assert town.red.ask("198.51.100.2", 80) == "neighbour 198.51.100.1"


@KINDS
def test_a_port_that_is_taken_back_while_its_rules_are_gone_leads_nowhere_later(
    town: Town, firewall: Firewall, kind: str
) -> None:
    gone, kept = port(8080, "172.30.1.2", kind), port(8081, "172.30.1.2", kind)
    firewall.publish([gone, kept])
    town.gate.run("nft", "flush", "ruleset")
    firewall.unpublish([gone])
    assert firewall.published() == [kept]
    rules = town.gate.run("nft", "list", "ruleset")
    assert "8081" in rules
    assert "8080" not in rules
