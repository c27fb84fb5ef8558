"""A laboratory of network namespaces, and the town that most tests of rules are about."""

from collections.abc import Callable, Iterator

import pytest
from helperroom import Room

from ipycontainer_runtime.network.firewall import Firewall
from ipycontainer_runtime.network.firewall.chains import Chains
from ipycontainer_runtime.network.firewall.guard import Guard
from ipycontainer_runtime.network.firewall.tables import Tables
from support.needs import require
from support.netlab import Lab, laboratory
from support.town import BRIDGES, Town, founded


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A laboratory of network namespaces."""
    require("root", "nft")
    with laboratory() as made:
        yield made


@pytest.fixture
def town(lab: Lab) -> Town:
    """A gate, containers on its bridges, and a neighbour."""
    return founded(lab)


KINDS = {"nftables": Tables, "iptables": Chains}


@pytest.fixture(params=["nftables", pytest.param("iptables", marks=pytest.mark.long)])
def make_firewall(request: pytest.FixtureRequest, town: Town) -> Iterator[Callable[..., Firewall]]:
    """A function that returns the town's firewall as an engine that begins has it.

    It takes the engine's name, where that is not the first one's.
    """
    if request.param == "iptables":
        require("iptables")
    kind = KINDS[request.param]
    all_made: list[Guard] = []

    def make(name: str = "ipyc-test") -> Firewall:
        all_made.append(Guard(town.gate.place, kind(town.gate.place, name), name))
        return all_made[-1]

    yield make
    for made in all_made:
        made.close()


@pytest.fixture
def firewall(make_firewall: Callable[..., Firewall]) -> Firewall:
    """The firewall of the town, put up."""
    made = make_firewall()
    made.apply(BRIDGES)
    return made


@pytest.fixture
def room() -> Iterator[Room]:
    """The engine's side of a helper of its own."""
    made = Room()
    try:
        yield made
    finally:
        made.close()
