"""The real `docker` command says the same of this engine as of Docker's, line by line."""

from collections.abc import Iterator

import pytest
from differences import DIFFERENCES

from support import images
from support.engines import running_engine
from support.hosts import Host
from support.registry import Registry
from transcript import Line, Said, lines, run

LINES = list(lines())
# Debian's engine speaks 1.41 and no later; the second run is the newest that the command knows.
DOCKER_VERSION = "1.41"

pytestmark = pytest.mark.needs("docker", "busybox")


def converse(host: Host, registry: Registry, version: str | None) -> dict[Line, Said]:
    environment = {**host.environment, "B": registry.name("transcript"), "N": "--network none"}
    if version:
        environment["DOCKER_API_VERSION"] = version
    return {line: run(line, environment) for line in LINES}


@pytest.fixture(scope="module")
def image(registry: Registry) -> str:
    return registry.add(images.busybox_layout(), "transcript")


@pytest.fixture(scope="module")
def docker_said(image: str, dockerd: Host, registry: Registry) -> dict[Line, Said]:
    return converse(dockerd, registry, DOCKER_VERSION)


@pytest.fixture(scope="module", params=[DOCKER_VERSION, None], ids=["api 1.41", "newest api"])
def ours_said(
    image: str, registry: Registry, request: pytest.FixtureRequest
) -> Iterator[dict[Line, Said]]:
    with running_engine() as engine:
        yield converse(engine, registry, request.param)


@pytest.mark.parametrize("line", LINES, ids=[line.text for line in LINES])
def test_the_answers_agree(
    line: Line, docker_said: dict[Line, Said], ours_said: dict[Line, Said]
) -> None:
    docker, ours = docker_said[line], ours_said[line]
    for difference in (known for known in DIFFERENCES if known.applies(line.text)):
        docker = difference.without(docker, difference.docker)
        ours = difference.without(ours, difference.ours)
    assert ours == docker


def test_every_difference_is_one(
    docker_said: dict[Line, Said], ours_said: dict[Line, Said]
) -> None:
    for difference in DIFFERENCES:
        concerned = [line for line in LINES if difference.applies(line.text)]
        assert any(docker_said[line] != ours_said[line] for line in concerned), difference.reason


def test_the_transcript_is_long_and_its_differences_few() -> None:
    assert len(LINES) >= 60
    assert len(DIFFERENCES) <= 5
