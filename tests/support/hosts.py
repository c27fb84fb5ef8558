"""An engine as its clients see it: a socket, the real `docker` command, and docker-py."""

import os
import subprocess
from functools import cached_property
from pathlib import Path

import docker

COMMAND_SECONDS = 120


class Host:
    """One Engine API at a unix socket. `home` holds the docker command's own configuration."""

    def __init__(self, socket: Path, home: Path) -> None:
        self.socket = socket
        self.home = home

    @property
    def url(self) -> str:
        """What DOCKER_HOST is to be."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which `docker` speaks to this engine and to no other."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "IPYCONTAINER_"))
        }
        return {
            **kept,
            "DOCKER_HOST": self.url,
            "DOCKER_CONFIG": str(self.home),
            "LC_ALL": "C.UTF-8",
        }

    @cached_property
    def client(self) -> docker.DockerClient:
        """A docker-py client without a time limit."""
        return docker.DockerClient(base_url=self.url, timeout=None)  # type: ignore[arg-type] # docker-py accepts None, its stubs do not

    def docker(
        self, *arguments: str, stdin: bytes | None = None, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the real `docker` command here, whatever its exit code, with pipes for streams."""
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            capture_output=True,
            timeout=seconds,
            check=False,
            **given,  # type: ignore[arg-type] # one of two keywords of different types
        )

    def succeed(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run `docker`, fail the test with its words unless it exits 0, and return its output."""
        done = self.docker(*arguments, stdin=stdin)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.decode()}"
        return done.stdout.decode().strip()

    def close(self) -> None:
        """Close docker-py's connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()
