"""One engine for each file of these tests, and containers that do not outlive their test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import calls
from support.engines import Engine
from support.needs import lack

Make = Callable[..., str]


@pytest.fixture
def make(shared_engine: Engine, busybox: str) -> Iterator[Make]:
    """A function that creates a container of busybox and returns its id."""
    made = []

    def create(*command: str, **fields: Any) -> str:
        made.append(calls.create(shared_engine, busybox, *command, **fields))
        return made[-1]

    yield create
    for container in made:
        calls.remove(shared_engine, container)


@pytest.fixture
def run(shared_engine: Engine, make: Make) -> Make:
    """A function that creates and starts a container of busybox and returns its id."""

    def create_and_start(*command: str, **fields: Any) -> str:
        container = make(*command, **fields)
        calls.start(shared_engine, container)
        return container

    return create_and_start


@pytest.fixture
def limits(shared_engine: Engine) -> None:
    """Skips the test, or fails it, where the engine can have no cgroups."""
    info = calls.call(shared_engine, "GET", "/info").body
    if info["CgroupDriver"] == "none":
        lack("limits", info["Warnings"][-1])
