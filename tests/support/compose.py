"""A project of three services for docker-compose: a store with a health check, a web, workers."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.alone import IMAGE
from support.hosts import Host

PORT = 18080
SECONDS = 120
# `init` has the shell that is the worker's first process end when it is asked to.
_PROJECT = f"""\
version: "2.4"
services:
  store:
    image: {IMAGE}
    init: true
    command: ["sh", "-c", "echo stored > /data/index.html && exec httpd -f -p 6000 -h /data"]
    volumes: ["kept:/data"]
    healthcheck:
      test: ["CMD", "wget", "-qO-", "http://127.0.0.1:6000/"]
      interval: 100ms
      retries: 100
  worker:
    image: {IMAGE}
    init: true
    command: ["sh", "-c", "while :; do wget -qO- http://store:6000/; sleep 0.2; done"]
    environment: {{ROLE: worker}}
    depends_on: {{store: {{condition: service_healthy}}}}
  web:
    image: {IMAGE}
    init: true
    command: ["httpd", "-f", "-p", "80", "-h", "/data"]
    volumes: ["kept:/data:ro"]
    ports: ["{PORT}:80"]
    depends_on: {{store: {{condition: service_healthy}}}}
    networks: {{default: {{aliases: ["front"]}}}}
volumes:
  kept:
networks:
  default:
    ipam:
      config: [{{subnet: 10.77.0.0/24}}]
"""


class Project:
    """The project in a folder of its own, for one engine."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._folder = folder
        (folder / "docker-compose.yml").write_text(_PROJECT)

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run docker-compose here, whatever its exit code."""
        return subprocess.run(
            ["docker-compose", "--ansi", "never", "-p", "three", *arguments],
            cwd=self._folder,
            # A narrow table is folded within a port.
            env={**self._host.environment, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def succeed(self, *arguments: str) -> str:
        """Run docker-compose, fail the test with its words unless it exits 0; its output."""
        done = self.compose(*arguments)
        assert done.returncode == 0, f"docker-compose {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def states(self) -> dict[str, str]:
        """Return the status of each container by its name."""
        entries = self._host.client.api.containers(all=True, filters={"label": LABEL})
        return {entry["Names"][0].lstrip("/"): entry["Status"] for entry in entries}


LABEL = "com.docker.compose.project=three"


@contextmanager
def project(host: Host, folder: Path) -> Iterator[Project]:
    """Yield the project, not started yet; afterwards it is down."""
    made = Project(host, folder)
    try:
        yield made
    finally:
        made.compose("down", "-v", "-t", "0")
