"""What is built of a context, a file or a repository without end.

Each comment names the line without which its test fails.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.engine.building import git as fetching
from ipycontainer_runtime.errors import InvalidParameter
from support.builds import build, elsewhere, image_of, send
from support.copies import archive, member
from support.engines import Engine, running_engine
from support.repositories import git, serving
from support.scripted import Answer, scripted_registry

MOST = 4 << 20


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of an engine that takes small contexts."""
    tmp_path.chmod(0o755)
    file = tmp_path / "engine.json"
    file.write_text(json.dumps({"build-context-limit": MOST}))
    monkeypatch.setenv("IPYCONTAINER_CONFIG", str(file))
    return file


@pytest.fixture
def small(configured: Path) -> Iterator[Engine]:
    """An engine that takes small contexts."""
    with running_engine() as engine:
        yield engine


def test_what_is_larger_than_a_context_may_be_is_refused_with_the_cure(
    small: Engine, configured: Path
) -> None:
    # bounds.inflated: `size > limits.unpacked`; remote._save: `size > most`
    lines = b"FROM scratch\nCOPY Dockerfile /\n"
    image_of(send(small, archive(member("Dockerfile", lines))))
    cure = f"raise build-context-limit in {configured}"
    told = send(small, archive(member("Dockerfile", lines), member("zeros", bytes(MOST))))
    assert f"the build context has more than {MOST} bytes: " in told[-1]["message"]
    assert cure in told[-1]["message"]
    with scripted_registry() as server:
        server.on("/long", Answer(bytes(MOST + 1)))
        told = build(small, {"Dockerfile": f"FROM scratch\nADD {server.url}/long /\n"})
        assert f"{server.url}/long has more than {MOST} bytes: " in told[-1]["error"]
        assert cure in told[-1]["error"]
        told = elsewhere(small, f"{server.url}/long")
        assert cure in told[-1].get("message", "") + told[-1].get("error", "")


@pytest.mark.needs("git")
def test_a_repository_of_few_objects_and_many_files_is_stopped(
    configured: Path, tmp_path: Path
) -> None:
    # git._watched: _exceeds
    served, got = tmp_path / "served", tmp_path / "got"
    for folder in (served, got):
        folder.mkdir()
    git(served, "init", "-q", "x.git")
    place = served / "x.git"
    blob = git(place, "hash-object", "-w", "--stdin", given="0" * 100_000)
    files = git(place, "mktree", given="".join(f"100644 blob {blob}\tf{i}\n" for i in range(40)))
    top = git(place, "mktree", given="".join(f"040000 tree {files}\td{i}\n" for i in range(40)))
    git(place, "update-ref", "HEAD", git(place, "commit-tree", top, "-m", "bomb"))
    with serving(served) as url:
        with pytest.raises(InvalidParameter, match=f"more than {MOST} bytes or 1000000 files: .*"):
            fetching.clone(f"{url}/x.git", got)


@pytest.mark.needs("git")
def test_what_the_engine_was_started_with_is_not_gits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # git._Git: GIT_
    own, got = tmp_path / "own", tmp_path / "got"
    got.mkdir()
    for name in ("own", "x.git"):
        git(tmp_path, "init", "-q", name)
        (tmp_path / name / name).touch()
        git(tmp_path / name, "add", ".")
        git(tmp_path / name, "commit", "-q", "-m", "all")
    before = git(own, "status", "--branch", "--porcelain=2")
    monkeypatch.setenv("GIT_DIR", str(own / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(own))
    with serving(tmp_path) as url:
        found = fetching.clone(f"{url}/x.git", got)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    assert [file.name for file in found.iterdir()] == ["x.git"]
    assert git(own, "status", "--branch", "--porcelain=2") == before
    assert not git(own, "remote")
