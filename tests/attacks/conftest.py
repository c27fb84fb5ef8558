"""What the attacks on containers share with the tests of containers."""

from collections.abc import Callable
from typing import Any

import pytest

from support import calls
from support.calls import Make
from support.engines import Engine


@pytest.fixture
def said(shared_engine: Engine, make: Make) -> Callable[..., str]:
    """A function that runs a script to its end and returns what it said."""

    def run(script: str, **fields: Any) -> str:
        container = make("sh", "-c", script, **fields)
        calls.start(shared_engine, container)
        calls.ended(shared_engine, container)
        return calls.logged(shared_engine, container).decode()

    return run
