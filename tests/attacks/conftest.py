"""What the attacks on containers share with the tests of containers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import calls
from support.engines import Engine

Make = Callable[..., str]


@pytest.fixture
def make(shared_engine: Engine, busybox: str) -> Iterator[Make]:
    """A function that creates a container and returns its id."""
    made = []

    def create(*command: str, **fields: Any) -> str:
        made.append(calls.create(shared_engine, busybox, *command, **fields))
        return made[-1]

    yield create
    for container in made:
        calls.remove(shared_engine, container)


@pytest.fixture
def said(shared_engine: Engine, make: Make) -> Callable[..., str]:
    """A function that runs a script to its end and returns what it said."""

    def run(script: str, **fields: Any) -> str:
        container = make("sh", "-c", script, **fields)
        calls.start(shared_engine, container)
        calls.ended(shared_engine, container)
        return calls.logged(shared_engine, container).decode()

    return run
