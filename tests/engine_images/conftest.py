"""What the tests of the registry client share."""

from collections.abc import Iterator

import pytest

from support.scripted import Scripted, scripted_registry


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry on loopback that answers as the test says."""
    with scripted_registry() as running:
        yield running
