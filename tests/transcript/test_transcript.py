"""The real `docker` command says the same of this engine as of Docker's, line by line."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from differences import DIFFERENCES, Difference

from support import images
from support.dockerd import running_dockerd
from support.engines import running_engine
from support.hosts import Host
from support.needs import require
from support.registry import Registry
from transcript import Said, lines, run

LINES = list(lines())
# Debian's engine speaks 1.41 and no later; the second run is the newest that the command knows.
DOCKER_VERSION = "1.41"

pytestmark = pytest.mark.needs("docker", "busybox")


def converse(host: Host, registry: Registry, version: str | None) -> list[Said]:
    environment = {**host.environment, "B": registry.name("transcript"), "N": "--network none"}
    if version:
        environment["DOCKER_API_VERSION"] = version
    return [run(line, environment) for line in LINES]


def _docker(registry: Registry) -> list[Said]:
    with running_dockerd() as dockerd:  # of its own: other tests' images would be listed
        return converse(dockerd, registry, DOCKER_VERSION)


def _ours(registry: Registry, version: str | None) -> list[Said]:
    with running_engine() as engine:
        return converse(engine, registry, version)


@pytest.fixture(scope="module")
def answers(registry: Registry) -> Iterator[dict[str, Future[list[Said]]]]:
    """What each says, all at a time: the lines wait for their engine most of it."""
    require("dockerd")
    registry.add(images.busybox_layout(), "transcript")
    with ThreadPoolExecutor(3) as pool:
        yield {
            "docker": pool.submit(_docker, registry),
            "api 1.41": pool.submit(_ours, registry, DOCKER_VERSION),
            "newest api": pool.submit(_ours, registry, None),
        }


@pytest.fixture(scope="module")
def docker_said(answers: dict[str, Future[list[Said]]]) -> list[Said]:
    return answers["docker"].result()


@pytest.fixture(scope="module", params=["api 1.41", "newest api"])
def ours_said(answers: dict[str, Future[list[Said]]], request: pytest.FixtureRequest) -> list[Said]:
    return answers[request.param].result()


@pytest.mark.parametrize("number", range(len(LINES)), ids=[line.text for line in LINES])
def test_the_answers_agree(number: int, docker_said: list[Said], ours_said: list[Said]) -> None:
    docker, ours = docker_said[number], ours_said[number]
    for difference in (known for known in DIFFERENCES if known.applies(LINES[number].text)):
        docker = difference.without(docker, difference.docker)
        ours = difference.without(ours, difference.ours)
    assert ours == docker


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason)
def test_every_difference_is_one(
    difference: Difference, docker_said: list[Said], ours_said: list[Said]
) -> None:
    concerned = [at for at, line in enumerate(LINES) if difference.applies(line.text)]
    assert any(docker_said[at] != ours_said[at] for at in concerned)


def test_the_transcript_is_long_and_its_differences_few() -> None:
    assert len(LINES) >= 60
    assert len(DIFFERENCES) <= 5
