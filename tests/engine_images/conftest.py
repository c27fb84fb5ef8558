"""What the tests of pulls and of images share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.imageroom import Room
from support.scripted import Scripted, scripted_registry


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """An empty store with the use cases of images."""
    room = Room(tmp_path / "root")
    yield room
    room.close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry on loopback that answers as the test says."""
    with scripted_registry() as running:
        yield running
