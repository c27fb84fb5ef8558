"""What is configured of registries, as /info tells it."""

from typing import Any

from ipycontainer_runtime import configuration
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.registry.hosts import without_login

_HUB = "docker.io"
_LOOPBACK = ["::1/128", "127.0.0.0/8"]


def described() -> tuple[dict[str, Any], list[str]]:
    """Return `RegistryConfig`, and a warning where the configuration cannot be read."""
    try:
        configured, warnings = configuration.read(), []
    except InvalidParameter as error:
        configured, warnings = configuration.Configuration(), [f"WARNING: {error}"]
    mirrors = [f"{without_login(url).rstrip('/')}/" for url in configured.mirrors]
    networks = [listed for listed in configured.insecure if "/" in listed]
    names = [listed for listed in configured.insecure if "/" not in listed]
    indexes = {name: _index(name, [], secure=False) for name in names}
    return {
        "IndexConfigs": {_HUB: _index(_HUB, mirrors, secure=True), **indexes},
        "InsecureRegistryCIDRs": [*_LOOPBACK, *networks],
        "Mirrors": mirrors,
    }, warnings


def _index(name: str, mirrors: list[str], *, secure: bool) -> dict[str, Any]:
    return {"Mirrors": mirrors, "Name": name, "Official": name == _HUB, "Secure": secure}
