"""The engine of the captures: what one test captured, the next finds there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from captureroom import Environment

from support.engines import Engine, running_engine


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    """An engine of these tests' own."""
    with running_engine() as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An empty virtual environment."""
    return Environment(tmp_path / "env")
