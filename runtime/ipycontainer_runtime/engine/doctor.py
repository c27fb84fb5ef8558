"""The doctor's report: what the machine allows, and whether registries can be reached."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ipycontainer_runtime import configuration
from ipycontainer_runtime.credentials.config import DockerConfig
from ipycontainer_runtime.errors import ContainerError, InvalidParameter
from ipycontainer_runtime.linux import doctor, userns
from ipycontainer_runtime.linux.doctor import Check
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.network import doctor as network
from ipycontainer_runtime.registry import certificates
from ipycontainer_runtime.registry.client import Registry
from ipycontainer_runtime.registry.hosts import DOCKER_HUB, mirror_domain

_MOST = 16
"""Registries that are asked, all at once: each answers, or is given up, within its time."""
_TIMEOUT = (3.0, 5.0)
"""Seconds to connect, and to wait for an answer."""


def examine(
    root: Path, grade: Grade | None = None, used: frozenset[str] = frozenset()
) -> list[dict[str, str]]:
    """Return {Name, State, Detail, Cost, Cure} for everything; `used` are domains of images here.

    Without the engine's `grade` it is foreseen. Raises Unavailable when a trial ends in an error.
    """
    rootless = userns.must_enter() if grade is None else grade.rootless
    networks = network.examine(rootless=rootless)
    checks = [*doctor.examine(root, grade), *networks, *registries(used)]
    return [{key.title(): value for key, value in check._asdict().items()} for check in checks]


def registries(used: Iterable[str] = ()) -> list[Check]:
    """Tell which registries can be reached: those used, mirrors, with a login or certificates.

    Docker Hub is asked where there is none of these.
    """
    try:
        mirrors = [mirror_domain(url) for url in configuration.read().mirrors]
    except InvalidParameter as error:
        return [_unreadable(error)]
    domains = sorted({*used, *mirrors, *DockerConfig().domains(), *certificates.domains()})[:_MOST]
    with ThreadPoolExecutor(_MOST) as pool:
        return list(pool.map(_reached, domains or [DOCKER_HUB]))


def _unreadable(error: InvalidParameter) -> Check:
    return Check(
        "configuration",
        "limited",
        str(error),
        "no image can be pulled or pushed",
        f"repair or remove {configuration.path()}",
    )


def _reached(domain: str, ping: Callable[[str], None] | None = None) -> Check:
    name = f"registry {domain}"
    try:
        (ping or _ping)(domain)
    except ContainerError as error:
        return Check(
            name,
            "limited",
            str(error),
            "its images cannot be pulled",
            "see that its name and the proxy are right, log in with `docker login`, or put its"
            f" authority into /etc/docker/certs.d/{domain}",
        )
    return Check(name, "ok", "it answers")


def _ping(domain: str) -> None:
    with Registry(domain, DockerConfig(), timeout=_TIMEOUT) as registry:
        registry.ping()
