import json

import pytest

from support.engines import Engine
from support.hosts import Host


def test_dockerd_runs_the_busybox_image(dockerd: Host, busybox: str) -> None:
    dockerd.succeed("pull", "-q", busybox)
    assert dockerd.succeed("run", "--rm", "--network", "none", busybox, "echo", "hi") == "hi"


def test_dockerd_runs_the_python_image(dockerd: Host, debian_python: str) -> None:
    dockerd.succeed("pull", "-q", debian_python)
    code = "import json, sys; print(json.dumps(sys.version_info[:1]))"
    said = dockerd.succeed("run", "--rm", "--network", "none", debian_python, "python3", "-c", code)
    assert json.loads(said) == [3]


@pytest.mark.ordinary_user
def test_an_engine_starts_and_leaves_nothing(engine: Engine) -> None:
    assert engine.client.ping()
    assert engine.pid > 0


@pytest.mark.ordinary_user
def test_a_killed_engine_starts_again(engine: Engine) -> None:
    before = engine.pid
    engine.kill()
    assert engine.client.ping()
    assert engine.pid != before


@pytest.mark.ordinary_user
@pytest.mark.needs("docker", "busybox")
def test_our_engine_runs_the_busybox_image(shared_engine: Engine, busybox: str) -> None:
    said = shared_engine.succeed("run", "--rm", "--network", "none", busybox, "echo", "hi")
    assert said == "hi"
