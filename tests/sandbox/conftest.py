"""A sandbox of the small Debian with Python, on our engine and on Docker's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from ipycontainer import Sandbox
from support.engines import Engine, running_engine
from support.hosts import Host
from support.needs import require


@pytest.fixture(scope="session")
def python_engine(debian_python: str) -> Iterator[Engine]:
    """One of our engines for these tests, with the image pulled."""
    with running_engine() as running:
        running.client.images.pull(debian_python)
        yield running
        # Its layers have folders that only the engine of an ordinary user can remove.
        for image in running.client.images.list():
            running.client.images.remove(image.id, force=True)
        with suppress(FileNotFoundError):
            while any((running.paths.root / "trash").iterdir()):
                running.client.ping()  # the trash is emptied in the pauses between requests


@pytest.fixture(scope="module", params=["engine", "dockerd"])
def host(request: pytest.FixtureRequest, debian_python: str) -> Host:
    """Either engine, with the image pulled."""
    if request.param == "dockerd":
        require("dockerd")
        found: Host = request.getfixturevalue("dockerd")
        found.client.images.pull(debian_python)
        return found
    engine: Host = request.getfixturevalue("python_engine")
    return engine


@pytest.fixture
def sandbox(python_engine: Engine, debian_python: str) -> Iterator[Sandbox]:
    """A sandbox of our engine."""
    with Sandbox(debian_python, client=python_engine.client) as made:
        yield made


@pytest.fixture(scope="module")
def warm(python_engine: Engine, debian_python: str) -> Iterator[Sandbox]:
    """A sandbox for tests that leave nothing in it that others could see."""
    with Sandbox(debian_python, memory="256m", client=python_engine.client) as made:
        yield made
