"""The seed of what these tests choose at random."""

import random

import pytest


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What --seed gives, or a number that the test prints."""
    given = request.config.getoption("--seed")
    return random.SystemRandom().randrange(1 << 31) if given is None else int(given)
