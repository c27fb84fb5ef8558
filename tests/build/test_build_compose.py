"""docker-compose builds its services by this engine, and runs what was built."""

import os
import subprocess
from pathlib import Path

import pytest

from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox", "docker-compose"), pytest.mark.ordinary_user]

PROJECT = """\
version: "3.9"
services:
  web:
    build:
      context: ./web
      args: {{WHO: compose}}
      target: final
      labels: {{made: by-compose}}
    network_mode: none
  other:
    image: {name}
    build:
      context: ./web
      dockerfile: Other
      args: {{BASE: "{base}"}}
    network_mode: none
"""
WEB = """\
FROM {base} AS base
ARG WHO=nobody
RUN echo hello $WHO > /who
FROM base AS final
CMD cat /who
FROM base AS never
RUN false
"""
OTHER = """\
ARG BASE
FROM $BASE
COPY . /c
CMD ls /c
"""


@pytest.mark.parametrize("by_docker", ["0", "1"], ids=["by docker-py", "by the docker command"])
def test_a_project_is_built_run_and_taken_down(
    shared_engine: Engine, busybox: str, tmp_path: Path, by_docker: str
) -> None:
    shared_engine.client.images.pull(busybox)
    (tmp_path / "web").mkdir()
    (tmp_path / "web/Dockerfile").write_text(WEB.format(base=busybox))
    (tmp_path / "web/Other").write_text(OTHER)
    project = PROJECT.format(base=busybox, name=f"composed:{by_docker}")
    (tmp_path / "docker-compose.yml").write_text(project)

    def compose(*words: str) -> str:
        done = subprocess.run(
            ["docker-compose", "--project-name", f"built{by_docker}", *words],
            cwd=tmp_path,
            env={
                **shared_engine.environment,
                "COMPOSE_DOCKER_CLI_BUILD": by_docker,
                "DOCKER_BUILDKIT": "0",
                "HOME": os.fspath(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        compose("build")
        said = compose("up", "--no-color")
        assert "hello compose" in said
        assert "Dockerfile" in said
        labels = shared_engine.client.images.get(f"built{by_docker}_web").labels
        assert labels["made"] == "by-compose"
    finally:
        compose("down", "--rmi", "all")
    assert not shared_engine.client.images.list(f"built{by_docker}_web")
