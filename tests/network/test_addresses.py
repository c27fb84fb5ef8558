"""Which subnets and addresses are given out."""

import ipaddress
import random

import pytest

from ipycontainer_runtime.errors import ContainerError, Forbidden, InvalidParameter
from ipycontainer_runtime.network import addresses
from ipycontainer_runtime.network.addresses import Addresses
from ipycontainer_runtime.store.networks import Subnet


def pool_of(subnet: str, **fields: object) -> Addresses:
    return Addresses(addresses.completed(Subnet(subnet=subnet, gateway="", **fields)))  # type: ignore[arg-type] # fields of several types


def networks(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in texts]


def test_subnets_are_dockers_pools_in_their_order_but_for_those_in_use() -> None:
    assert str(addresses.free_pool([])) == "172.17.0.0/16"
    used = networks("172.17.0.0/16", "172.18.5.0/24", "10.0.0.0/8", "fd00::/64")
    assert str(addresses.free_pool(used)) == "172.19.0.0/16"
    assert str(addresses.free_pool(networks("172.16.0.0/12"))) == "192.168.0.0/20"


def test_when_all_pools_are_in_use_the_cure_is_said() -> None:
    with pytest.raises(Forbidden, match="fully subnetted: give the network one with --subnet"):
        addresses.free_pool(networks("172.16.0.0/12", "192.168.0.0/16"))


def test_a_subnet_of_ipv6_is_a_unique_local_one() -> None:
    pool = addresses.free_pool6([])
    assert pool.prefixlen == 64
    assert pool.subnet_of(ipaddress.IPv6Network("fd00::/8"))  # type: ignore[arg-type] # of IPv6
    assert addresses.free_pool6([]) != pool


def test_the_first_address_is_the_gateways_and_the_next_the_first_containers() -> None:
    subnet = addresses.completed(Subnet(subnet="10.5.0.0/24", gateway=""))
    assert (subnet.subnet, subnet.gateway) == ("10.5.0.0/24", "10.5.0.1")
    assert Addresses(subnet).take() == "10.5.0.2/24"


def test_the_lowest_free_address_comes_next() -> None:
    pool = pool_of("10.5.0.0/24")
    first, second, third = pool.take(), pool.take(), pool.take()
    pool.release(second)
    assert pool.take() == second
    pool.release(third)
    pool.release(first)
    assert [pool.take(), pool.take()] == [first, third]


def test_a_pool_gives_out_each_of_its_addresses_once_and_then_says_so() -> None:
    pool = pool_of("10.5.0.0/29", reserved={"printer": "10.5.0.4"})
    assert [pool.take() for _ in range(4)] == [f"10.5.0.{n}/29" for n in (2, 3, 5, 6)]
    with pytest.raises(Forbidden, match="no available IPv4 addresses"):
        pool.take()


def test_addresses_are_of_the_range_that_was_asked_for() -> None:
    pool = pool_of("10.5.0.0/16", ip_range="10.5.7.0/30")
    assert [pool.take() for _ in range(4)] == [f"10.5.7.{n}/16" for n in range(4)]
    assert pool.take("10.5.9.9") == "10.5.9.9/16"


@pytest.mark.parametrize(
    ("wanted", "kind", "words"),
    [
        ("10.6.0.2", InvalidParameter, "no configured subnet contains"),
        ("10.5.0.1", Forbidden, "Address already in use"),
        ("10.5.0.4", Forbidden, "Address already in use"),
        ("10.5.0.9", Forbidden, "Address already in use"),
        ("words", InvalidParameter, "invalid IP address"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(
    wanted: str, kind: type[ContainerError], words: str
) -> None:
    pool = pool_of("10.5.0.0/24", reserved={"printer": "10.5.0.4"})
    pool.take("10.5.0.9")
    with pytest.raises(kind, match=words):
        pool.take(wanted)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"subnet": "10.5.0.0/33"}, "invalid CIDR address"),
        ({"subnet": "10.5.0.9/24"}, "it should be 10.5.0.0/24"),
        ({"ip_range": "10.5.3.0/16"}, "it should be 10.5.0.0/16"),
        ({"subnet": "words"}, "invalid CIDR address"),
        ({"subnet": "0.0.0.0/0"}, "invalid subnet 0.0.0.0/0"),
        ({"subnet": "127.5.0.0/16"}, "invalid subnet 127.5.0.0/16"),
        ({"subnet": "64.0.0.0/2"}, "invalid subnet 64.0.0.0/2"),
        ({"subnet": "239.1.0.0/16"}, "invalid subnet 239.1.0.0/16"),
        ({"subnet": "::/0"}, "invalid subnet ::/0"),
        ({"subnet": "ff00::/16"}, "invalid subnet ff00::/16"),
        ({"gateway": "10.6.0.1"}, "no matching subnet for gateway"),
        ({"gateway": "words"}, "invalid IP address"),
        ({"ip_range": "10.6.0.0/24"}, "no matching subnet for range"),
        ({"ip_range": "10.0.0.0/8"}, "no matching subnet for range"),
        ({"ip_range": "fd00::/64"}, "no matching subnet for range"),
        ({"reserved": {"x": "10.6.0.1"}}, "no matching subnet for aux-address"),
    ],
)
def test_a_subnet_that_does_not_fit_together_is_refused(
    fields: dict[str, object], words: str
) -> None:
    whole = {"subnet": "10.5.0.0/16", "gateway": "", **fields}
    with pytest.raises(InvalidParameter, match=words):
        addresses.completed(Subnet(**whole))  # type: ignore[arg-type] # fields of several types


@pytest.mark.parametrize(
    ("subnet", "address"),
    [("10.5.0.0/24", "10.5.0.0"), ("10.5.0.0/24", "10.5.0.255"), ("fd00:5::/64", "fd00:5::")],
)
def test_an_address_that_means_more_than_one_is_nobodys(subnet: str, address: str) -> None:
    with pytest.raises(Forbidden, match="already in use"):
        addresses.completed(Subnet(subnet=subnet, gateway=address))
    with pytest.raises(Forbidden, match="already in use"):
        pool_of(subnet).take(address)


def test_both_addresses_of_a_line_between_two_are_hosts() -> None:
    line = Addresses(addresses.completed(Subnet(subnet="fd05::/127", gateway="fd05::")))
    assert line.take() == "fd05::1/127"


def test_no_two_hold_one_address_whatever_comes_and_goes() -> None:
    rng = random.Random(7)
    pool = pool_of("10.5.0.0/26", reserved={"a": "10.5.0.7"})
    held: set[str] = set()
    for _ in range(2000):
        if held and rng.random() < 0.5:
            gone = rng.choice(sorted(held))
            held.remove(gone)
            pool.release(gone)
        elif len(held) < 60:
            wanted = f"10.5.0.{rng.randrange(64)}" if rng.random() < 0.3 else ""
            try:
                given = pool.take(wanted)
            except Forbidden:
                fixed = {"10.5.0.0", "10.5.0.1", "10.5.0.7", "10.5.0.63"}
                assert f"{wanted}/26" in held or wanted in fixed
                continue
            assert given not in held
            held.add(given)
        assert pool.taken == len(held)


def test_a_mac_address_goes_with_its_address() -> None:
    assert addresses.mac_of("172.17.0.2") == "02:42:ac:11:00:02"
    assert addresses.random_mac() != addresses.random_mac()
