"""The two engines that build the corpus, each with `base`, the busybox image."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from buildcases import Case
from buildrooms import BASE, Built, built

from support.engines import Engine, running_engine
from support.hosts import Host

# Debian's dockerd spends most of a step waiting, so a machine of two cores has room for three.
SIDE_BY_SIDE = 3


@pytest.fixture(scope="module")
def builder(busybox: str) -> Iterator[Engine]:
    """Our engine, with `base`."""
    with running_engine() as engine:
        engine.succeed("pull", "-q", busybox)
        engine.succeed("tag", busybox, BASE)
        yield engine


@pytest.fixture(scope="module")
def by_dockerd(
    request: pytest.FixtureRequest,
    dockerd: Host,
    busybox: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, "Future[Built]"]]:
    """What dockerd makes of each case that was asked for, begun ahead of the test that needs it."""
    dockerd.succeed("pull", "-q", busybox)
    dockerd.succeed("tag", busybox, BASE)
    folder = tmp_path_factory.mktemp("dockerd")
    wanted = [case for item in request.session.items for case in _of_classic(item)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        begun = {
            case.name: threads.submit(built, dockerd, case, folder / case.name) for case in wanted
        }
        yield begun
        for one in begun.values():
            one.cancel()
    dockerd.docker(
        "rmi", "--force", "--no-prune", *(f"parity/{name}" for name in begun), BASE, busybox
    )


def _of_classic(item: pytest.Item) -> Iterator[Case]:
    called = getattr(item, "callspec", None)
    if called and "by_dockerd" in getattr(item, "fixturenames", ()):
        yield called.params["case"]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Where a context may be written."""
    return tmp_path / "context"
