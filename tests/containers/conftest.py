"""What tests of containers ask of the machine."""

import pytest

from support import calls
from support.engines import Engine
from support.needs import lack


@pytest.fixture
def limits(shared_engine: Engine) -> None:
    """Skips the test, or fails it, where the engine can have no cgroups."""
    info = calls.call(shared_engine, "GET", "/info").body
    if info["CgroupDriver"] == "none":
        lack("limits", info["Warnings"][-1])
