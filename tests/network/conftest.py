"""A laboratory of network namespaces, and the town that most tests of rules are about."""

from collections.abc import Iterator

import pytest
from helperroom import Room

from ipycontainer_runtime.network.firewall import Firewall
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


@pytest.fixture
def firewall(town: Town) -> Firewall:
    """The firewall of the town, put up."""
    made = Tables(town.gate.place, "ipyc-test")
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
