"""docker-compose brings a project of three services up and down, as it does with Docker."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.alone import engine_alone, run_inside
from support.compose import LABEL, PORT, Project, project
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker-compose", "busybox"), pytest.mark.ordinary_user]


@pytest.fixture(scope="module")
def alone() -> Iterator[tuple[Engine, int]]:
    with engine_alone() as found:
        yield found


@pytest.fixture
def three(alone: tuple[Engine, int], tmp_path: Path) -> Iterator[Project]:
    with project(alone[0], tmp_path) as made:
        yield made


def test_a_project_comes_up_is_scaled_and_goes(three: Project, alone: tuple[Engine, int]) -> None:
    engine, pid = alone
    three.succeed("up", "-d")
    states = three.states()
    assert states.keys() == {"three_store_1", "three_web_1", "three_worker_1"}
    assert states["three_store_1"].endswith("(healthy)")
    listed = three.succeed("ps")
    assert f"0.0.0.0:{PORT}->80/tcp" in listed
    assert listed.count(" Up") == 3
    page = f"http://127.0.0.1:{PORT}/"
    assert run_inside(pid, "busybox", "wget", "-qO-", page) == "stored\n"
    asked = three.succeed("exec", "-T", "worker", "sh", "-c", "echo $ROLE; wget -qO- http://front/")
    assert asked == "worker\nstored\n"
    _until_logged(three, "stored")
    three.succeed("up", "-d", "--scale", "worker=3")
    assert sum(name.startswith("three_worker") for name in three.states()) == 3
    found = three.succeed("exec", "-T", "web", "nslookup", "worker")
    assert found.count("10.77.0.") >= 3
    three.succeed("restart", "-t", "0", "web")
    assert run_inside(pid, "busybox", "wget", "-qO-", page) == "stored\n"
    three.succeed("down", "-v", "-t", "1")
    assert three.states() == {}
    api = engine.client.api
    assert api.networks(filters={"label": [LABEL]}) == []
    assert not api.volumes(filters={"label": [LABEL]})["Volumes"]


def _until_logged(three: Project, word: str) -> None:
    deadline = time.monotonic() + 30
    while word not in three.succeed("logs", "--no-color", "worker"):
        assert time.monotonic() < deadline, "the worker never said it"


def test_a_second_up_changes_nothing_and_a_stop_keeps_all(three: Project) -> None:
    three.succeed("up", "-d")
    before = three.states().keys()
    assert "up-to-date" in three.compose("up", "-d").stderr
    three.succeed("stop", "-t", "1")
    assert all(state.startswith("Exited") for state in three.states().values())
    three.succeed("start")
    assert three.states().keys() == before


def test_a_wrong_project_is_told_and_leaves_nothing(three: Project, tmp_path: Path) -> None:
    text = (tmp_path / "docker-compose.yml").read_text()
    (tmp_path / "docker-compose.yml").write_text(
        text.replace("ipam:", "driver: no-such\n    ipam:")
    )
    done = three.compose("up", "-d")
    assert done.returncode == 1
    assert 'plugin "no-such" not found' in done.stderr
    assert three.states() == {}
