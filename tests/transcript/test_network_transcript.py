"""The real `docker` command says the same of our networks and volumes as of Docker's."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from netdifferences import DIFFERENCES, Difference

from support.alone import docker_alone, engine_alone, inside
from support.hosts import Host
from support.needs import require
from transcript import Said, lines, run

LINES = list(lines("networks.txt"))
# Debian's engine speaks it and no later.
VERSION = "1.41"

pytestmark = pytest.mark.needs("docker", "busybox", "root")


def converse(host: Host, pid: int, folder: Path) -> list[Said]:
    variables = {"D": str(folder), "IN": " ".join(inside(pid)), "DOCKER_API_VERSION": VERSION}
    return [run(line, {**host.environment, **variables}) for line in LINES]


def _docker(folder: Path) -> list[Said]:
    with docker_alone() as (dockerd, pid):
        return converse(dockerd, pid, folder)


def _ours(folder: Path) -> list[Said]:
    with engine_alone() as (engine, pid):
        return converse(engine, pid, folder)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Said], list[Said]]:
    """What Docker and our engine answer; side by side, for each line waits for its engine."""
    require("dockerd")
    with ThreadPoolExecutor(2) as both:
        docker = both.submit(_docker, tmp_path_factory.mktemp("docker"))
        ours = both.submit(_ours, tmp_path_factory.mktemp("ours"))
        return docker.result(), ours.result()


@pytest.mark.parametrize("number", range(len(LINES)), ids=[line.text for line in LINES])
def test_the_answers_agree(number: int, said: tuple[list[Said], list[Said]]) -> None:
    docker, ours = (answers[number] for answers in said)
    for difference in (known for known in DIFFERENCES if known.applies(LINES[number].text)):
        docker = difference.without(docker, difference.docker)
        ours = difference.without(ours, difference.ours)
    assert ours == docker


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason)
def test_every_difference_is_one(
    difference: Difference, said: tuple[list[Said], list[Said]]
) -> None:
    docker, ours = said
    concerned = [at for at, line in enumerate(LINES) if difference.applies(line.text)]
    assert any(docker[at] != ours[at] for at in concerned)


def test_the_transcript_is_long_and_its_differences_few() -> None:
    assert len(LINES) >= 120
    assert len(DIFFERENCES) <= 5
