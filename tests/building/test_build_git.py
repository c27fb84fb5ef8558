"""Contexts and ADD from git repositories, over git's own protocol."""

import json
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from support.builds import build, image_of
from support.calls import begin
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox", "git"), pytest.mark.ordinary_user]

NAMES = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


class Repository(NamedTuple):
    """One that is served; `first` and `second` are its commits."""

    url: str
    first: str
    second: str


def git(place: Path, *arguments: str) -> str:
    command = ["git", *NAMES, *arguments]
    return subprocess.run(
        command, cwd=place, check=True, capture_output=True, text=True
    ).stdout.strip()


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
    daemon = ["git", "daemon", "--inetd", "--export-all", f"--base-path={place}", str(place)]

    class Giving(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            subprocess.run(daemon, stdin=self.request, stdout=self.request, check=False)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Giving) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Repository(f"git://127.0.0.1:{server.server_address[1]}/x.git", first, second)
        server.shutdown()
        thread.join()


def run(engine: Engine, image: str, *command: str) -> str:
    return engine.succeed("run", "--rm", "--network", "none", image, *command)


@pytest.mark.parametrize(
    ("ref", "said"), [("", "second"), ("main", "second"), ("old", "first"), ("{}", "first")]
)
def test_a_context_is_a_folder_of_a_branch_a_tag_or_a_commit(
    shared_engine: Engine, repository: Repository, ref: str, said: str
) -> None:
    remote = f"{repository.url}#{ref.format(repository.first)}:sub"
    connection, reply = begin(shared_engine, "POST", f"/build?remote={quote(remote)}")
    messages = [json.loads(line) for line in reply.read().splitlines()]
    connection.close()
    assert run(shared_engine, image_of(messages)) == said


def test_add_takes_a_repository_without_its_git_folder_unless_that_is_asked_for(
    shared_engine: Engine, repository: Repository, busybox: str
) -> None:
    lines = (
        f"FROM {busybox}\nADD {repository.url}#old /plain\n"
        f"ADD --keep-git-dir=true {repository.url}#main /kept\n"
    )
    image = image_of(build(shared_engine, {"Dockerfile": lines}))
    assert run(shared_engine, image, "ls", "-A", "/plain") == "sub"
    assert run(shared_engine, image, "ls", "-A", "/kept").split() == [".git", "sub"]
    assert run(shared_engine, image, "cat", "/plain/sub/said", "/kept/sub/said") == "first\nsecond"


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
