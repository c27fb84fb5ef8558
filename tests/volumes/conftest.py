"""Fixtures of volumes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import volumeroom

from support import calls
from support.engines import Engine


@pytest.fixture(scope="module")
def image(shared_engine: Engine, busybox: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with files of every kind in /data, and volumes at /data and /nothere."""
    place: Path = tmp_path_factory.mktemp("context")
    return volumeroom.build(shared_engine, busybox, place, 'VOLUME ["/data", "/nothere"]')


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove what a test made on the shared engine: containers, then every volume."""
    yield
    if "shared_engine" in request.fixturenames:
        engine: Engine = request.getfixturevalue("shared_engine")
        engine.remove_containers()
        for name in volumeroom.volumes(engine):
            calls.call(engine, "DELETE", f"/volumes/{name}")
        assert not volumeroom.volumes(engine)
