"""Published ports in the kernel's table: put there by hand, and read back by `nft`."""

import pytest

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.network.firewall.ports import ANY, Ports, with_these
from ipycontainer_runtime.network.firewall.rules import Shape
from ipycontainer_runtime.network.firewall.tables import Tables
from ipycontainer_runtime.store.networks import Published
from support.town import BRIDGES, Town

TARGETS = {4: "172.30.1.2", 6: "2001:db8::2"}


def ports(numbers: range) -> Ports:
    """Ports of every kind: of both families and protocols, of one address and of all."""
    made = []
    for number in numbers:
        version = 6 if number % 3 == 0 else 4
        one = {4: "198.51.100.1", 6: "2001:db8:1::1"}[version]
        made.append(
            Published(
                protocol="udp" if number % 5 == 0 else "tcp",
                host_address=one if number % 2 else ANY[version],
                host_port=number,
                address=TARGETS[version],
                port=80 + number % 2,
            )
        )
    return with_these({}, made)


@pytest.fixture
def table(town: Town) -> Tables:
    """A table with the rules of the town's bridges, and no port."""
    made = Tables(town.gate.place, "ipyc-test")
    made.put(BRIDGES, {}, Shape())
    return made


@pytest.mark.parametrize("many", [1, 5000])
def test_what_is_put_there_by_hand_is_what_nft_reads(table: Tables, many: int) -> None:
    wanted = ports(range(1000, 1000 + many))
    table.change(BRIDGES, {}, wanted, Shape())
    assert table.read()[0] == wanted
    table.change(BRIDGES, wanted, {}, Shape())
    assert table.read()[0] == {}


def test_it_is_what_nft_would_have_put_there(town: Town, table: Tables) -> None:
    wanted = ports(range(1000, 1030))
    table.change(BRIDGES, {}, wanted, Shape())
    by_hand = town.gate.run("nft", "list", "ruleset")
    table.put(BRIDGES, wanted, Shape())
    assert town.gate.run("nft", "list", "ruleset") == by_hand


def test_a_change_that_the_kernel_refuses_changes_nothing(table: Tables) -> None:
    there, missing = ports(range(1000, 1010)), ports(range(2000, 2002))
    table.change(BRIDGES, {}, there, Shape())
    with pytest.raises(Unavailable, match="cannot be led: No such file or directory"):
        table.change(BRIDGES, {**there, **missing}, ports(range(3000, 3010)), Shape())
    assert table.read()[0] == there
    table.change(BRIDGES, there, missing, Shape())
    assert table.read()[0] == missing
