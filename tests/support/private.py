"""Debian's docker-registry in a container of ours, built from its program and a configuration.

docs/registry.md is the same for people. The port is the kernel's choice, on the host's loopback.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import docker
from docker.models.containers import Container

from support.registry import HTPASSWD

IMAGE = "private-registry"
_DOCKERFILE = """
FROM scratch
COPY . /
ENV REGISTRY_STORAGE_DELETE_ENABLED=true OTEL_TRACES_EXPORTER=none
CMD ["/usr/bin/docker-registry", "serve", "/registry.yml"]
"""
_CONFIG = """
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: "127.0.0.1:0"}
"""
_LOGIN = {
    "REGISTRY_AUTH": "htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM": "here",
    "REGISTRY_AUTH_HTPASSWD_PATH": "/htpasswd",
}
_TLS = {
    "REGISTRY_HTTP_TLS_CERTIFICATE": "/tls/server.cert",
    "REGISTRY_HTTP_TLS_KEY": "/tls/server.key",
}


class Private(NamedTuple):
    """A registry at `address` (host:port), and the container that it runs in."""

    address: str
    container: Container

    def name(self, repository: str, tag: str = "latest") -> str:
        """Return the full image name of `repository` here."""
        return f"{self.address}/{repository}:{tag}"


def write_context(folder: Path, *more: Path) -> None:
    """Fill a build's context: Dockerfile, docker-registry, its libraries, and `more` in /tls."""
    program = shutil.which("docker-registry")
    assert program is not None, "no docker-registry: apt install docker-registry"
    for path in (program, *_libraries(program)):
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for path in more:
        (folder / "tls").mkdir(exist_ok=True)
        shutil.copy(path, folder / "tls")
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    (folder / "registry.yml").write_text(_CONFIG)
    (folder / "htpasswd").write_text(HTPASSWD)


def _libraries(program: str) -> list[str]:
    told = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", told)


@contextmanager
def private_registry(
    client: docker.DockerClient, *, login: bool = False, tls: tuple[Path, Path] | None = None
) -> Iterator[Private]:
    """Yield a registry in a container of this client's engine; both are removed afterwards.

    With `login` it wants USER and PASSWORD of `support.registry`; `tls` is a certificate and its
    key, named server.cert and server.key.
    """
    with tempfile.TemporaryDirectory(prefix="ipyc-r") as folder:
        write_context(Path(folder), *(tls or ()))
        client.images.build(path=folder, tag=IMAGE)
    environment = {**(_LOGIN if login else {}), **(_TLS if tls else {})}
    container = client.containers.run(
        IMAGE, detach=True, network_mode="host", environment=environment
    )
    try:
        yield Private(_address(container), container)
    finally:
        container.remove(force=True)
        client.images.remove(IMAGE, force=True)


def _address(container: Container) -> str:
    told = b""
    for chunk in container.logs(stream=True, follow=True):
        told += chunk
        if found := re.search(rb"listening on ([0-9.]+:\d+)", told):
            return found[1].decode()
    raise RuntimeError(f"docker-registry ended before it listened: {told[-2000:]!r}")
