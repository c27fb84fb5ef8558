"""What the firewall switches on for its bridges, and puts back when they have gone."""

from collections.abc import Callable

import pytest

from ipycontainer_runtime.network.firewall import Firewall
from support.town import BRIDGES, Town

IP_FORWARD, FORWARDING = "ipv4/ip_forward", "ipv6/conf/all/forwarding"
SWITCHES = (IP_FORWARD, FORWARDING, "ipv6/conf/eth0/accept_ra", "ipv6/conf/eth1/accept_ra")
OF_IPV6, OF_IPV4 = BRIDGES[:1], BRIDGES[1:2]

Make = Callable[..., Firewall]


@pytest.fixture
def quiet(town: Town) -> Town:
    """The town before anything is forwarded: eth0 heeds routers, eth1 also where it forwards."""
    town.gate.ip("link add eth1 type bridge", "link set eth1 up")
    for setting, value in zip(SWITCHES, "0012", strict=True):
        town.gate.set(setting, value)
    return town


def switches(town: Town) -> str:
    return "".join(map(town.gate.get, SWITCHES))


def test_devices_go_on_taking_routers_word_while_ipv6_is_forwarded(
    quiet: Town, make_firewall: Make
) -> None:
    firewall = make_firewall()
    firewall.apply(OF_IPV4)
    assert switches(quiet) == "1012"
    firewall.apply(BRIDGES)
    assert switches(quiet) == "1122"
    quiet.remove(*BRIDGES)
    firewall.close()
    assert switches(quiet) == "0012"


def test_with_the_last_network_of_ipv6_all_is_put_back_and_ipv4_goes_on(
    quiet: Town, make_firewall: Make
) -> None:
    firewall = make_firewall()
    firewall.apply(BRIDGES)
    firewall.apply(OF_IPV4)
    assert switches(quiet) == "1012"
    assert quiet.blue.ask("198.51.100.2", 80) == "neighbour 198.51.100.1"
    firewall.apply(OF_IPV6)
    assert switches(quiet) == "1122"


def test_an_engine_after_one_that_was_killed_puts_it_back(quiet: Town, make_firewall: Make) -> None:
    make_firewall().apply(BRIDGES)
    quiet.remove(*BRIDGES)
    make_firewall().close()
    assert switches(quiet) == "0012"


def test_the_last_engine_puts_back_what_the_first_has_switched(
    quiet: Town, make_firewall: Make
) -> None:
    quiet.remove(*BRIDGES[1:])
    first, second = make_firewall("ipyc-first"), make_firewall("ipyc-second")
    first.apply(OF_IPV6)
    quiet.gate.ip("link add br-blue type bridge")
    second.apply(OF_IPV4)
    quiet.remove(BRIDGES[0])
    first.close()
    assert switches(quiet) == "1122"
    quiet.remove(*OF_IPV4)
    second.close()
    assert switches(quiet) == "0012"


def test_nothing_is_put_back_while_somebody_s_new_device_may_need_it(
    quiet: Town, make_firewall: Make
) -> None:
    firewall = make_firewall()
    firewall.apply(BRIDGES)
    quiet.gate.ip("link add theirs type bridge")
    quiet.remove(*BRIDGES)
    firewall.close()
    assert switches(quiet) == "1122"
