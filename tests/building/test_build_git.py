"""Contexts and ADD from git repositories, over git's own protocol."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.builds import build, elsewhere, image_of, shown
from support.engines import Engine
from support.repositories import git, serving

pytestmark = [pytest.mark.needs("busybox", "git"), pytest.mark.ordinary_user]


class Repository(NamedTuple):
    """One that is served; `first` and `second` are its commits."""

    url: str
    first: str
    second: str


def commit(place: Path, content: str) -> str:
    (place / "sub/said").write_text(f"{content}\n")
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", content)
    return git(place, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(busybox: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    place = tmp_path_factory.mktemp("git")
    work = place / "x.git"
    (work / "sub").mkdir(parents=True)
    (work / "sub/Dockerfile").write_text(f'FROM {busybox}\nCOPY said /said\nCMD ["cat", "/said"]\n')
    git(place, "init", "-q", str(work))
    first = commit(work, "first")
    git(work, "tag", "old")
    second = commit(work, "second")
    with serving(place) as url:
        yield Repository(f"{url}/x.git", first, second)


@pytest.mark.parametrize(
    ("ref", "said"), [("", "second"), ("main", "second"), ("old", "first"), ("{}", "first")]
)
def test_a_context_is_a_folder_of_a_branch_a_tag_or_a_commit(
    shared_engine: Engine, repository: Repository, ref: str, said: str
) -> None:
    told = elsewhere(shared_engine, f"{repository.url}#{ref.format(repository.first)}:sub")
    assert shown(shared_engine, image_of(told)) == said


def test_add_takes_a_repository_without_its_git_folder_unless_that_is_asked_for(
    shared_engine: Engine, repository: Repository, busybox: str
) -> None:
    lines = (
        f"FROM {busybox}\nADD {repository.url}#old /plain\n"
        f"ADD --keep-git-dir=true {repository.url}#main /kept\n"
    )
    image = image_of(build(shared_engine, {"Dockerfile": lines}))
    assert shown(shared_engine, image, "ls", "-A", "/plain") == "sub"
    assert shown(shared_engine, image, "ls", "-A", "/kept").split() == [".git", "sub"]
    assert (
        shown(shared_engine, image, "cat", "/plain/sub/said", "/kept/sub/said") == "first\nsecond"
    )


def test_add_checks_the_commit_that_it_was_told(
    shared_engine: Engine, repository: Repository, busybox: str
) -> None:
    lines = f"FROM {busybox}\nADD --checksum={{}} {repository.url}#main /x\n"
    image_of(build(shared_engine, {"Dockerfile": lines.format(repository.second)}))
    told = build(shared_engine, {"Dockerfile": lines.format(repository.first)})
    assert f"expected checksum to match {repository.first}" in told[-1]["error"]


def test_a_branch_that_moved_on_is_fetched_again(
    shared_engine: Engine, repository: Repository, busybox: str
) -> None:
    lines = f"FROM {busybox}\nADD {{}} /x\n"
    old = build(shared_engine, {"Dockerfile": lines.format(f"{repository.url}#old")})
    new = build(shared_engine, {"Dockerfile": lines.format(f"{repository.url}#main")})
    assert image_of(old) != image_of(new)
    again = build(shared_engine, {"Dockerfile": lines.format(f"{repository.url}#main")})
    assert image_of(again) == image_of(new)
