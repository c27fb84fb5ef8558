"""What a client knows of logins: those in config.json, and those that helpers keep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipycontainer_runtime.credentials.config import DockerConfig
from ipycontainer_runtime.credentials.helpers import Helper
from ipycontainer_runtime.credentials.login import Login, domain, encode_header, entry, key
from ipycontainer_runtime.errors import ContainerError

MOST = 64
"""Logins that are sent along with a build: each may be a run of a helper."""


class Logins:
    """The logins of the person who runs this; reads the file anew each time, as others write it."""

    def __init__(self, path: Path | None = None) -> None:
        self._config = DockerConfig(path)

    @property
    def path(self) -> Path:
        """Docker's config.json."""
        return self._config.path

    def lookup(self, server: str) -> Login | None:
        """Return the login for a reference's domain, from the helper for it, or the file.

        Raises InvalidParameter, which names the file, where that is malformed; Unavailable, which
        names the helper, where that fails.
        """
        helper = self._helper(server)
        return helper.get(server) if helper else self._config.lookup(server)

    def header(self, server: str) -> dict[str, str]:
        """Return what to send in X-Registry-Auth for a server; empty without a login."""
        login = self.lookup(server)
        return login.header(server) if login else {}

    def config_header(self, warn: Callable[[str], None]) -> str:
        """Return the header X-Registry-Config, with every login there is, for a build.

        `warn` is told of those that cannot be had: the build may want none of their registries.
        """
        content = self._config.content()
        names = [*content.auths, *content.helpers]
        if content.store:
            try:
                names += Helper(content.store).servers()
            except ContainerError as error:
                warn(f"built without the logins of {content.store}: {error}")
        found: dict[str, dict[str, str]] = {}
        for server in list(dict.fromkeys(domain(name) for name in names))[:MOST]:
            try:
                if header := self.header(server):
                    found[key(server)] = header
            except ContainerError as error:
                warn(f"built without the login to {server}: {error}")
        return encode_header(found)

    def request(self, server: str, username: str, password: str) -> dict[str, str]:
        """Return the body of POST /auth that has an engine check a login."""
        return Login(username, password).header(server)

    def remember(self, server: str, username: str, password: str, token: str) -> str:
        """Keep what was checked: the token that a registry gave for it, else the password."""
        return self.keep(server, Login(username, "" if token else password, token))

    def keep(self, server: str, login: Login) -> str:
        """Keep a login where the configuration says; return where that is."""
        helper = self._helper(server)
        if helper is not None:
            helper.store(server, login)
        # Where a helper has the secret, Docker notes in the file that there is one.
        record = {} if helper else entry(login)
        self._config.change(lambda whole: _put(whole, server, record))
        return helper.program if helper else str(self.path)

    def forget(self, server: str) -> bool:
        """Forget a login, here and in its helper; tell whether there was one."""
        helper = self._helper(server)
        known = helper is not None and helper.get(server) is not None
        if helper is not None:
            helper.erase(server)
        if domain(server) not in self._config.domains():
            return known
        self._config.change(lambda whole: _drop(whole, server))
        return True

    def _helper(self, server: str) -> Helper | None:
        content = self._config.content()
        for name, helper in content.helpers.items():
            if domain(name) == domain(server):
                return Helper(helper) if helper else None
        return Helper(content.store) if content.store else None


def _put(whole: dict[str, Any], server: str, record: dict[str, str]) -> None:
    _drop(whole, server)
    whole["auths"][key(server)] = record


def _drop(whole: dict[str, Any], server: str) -> None:
    kept = whole.get("auths") or {}
    whole["auths"] = {name: at for name, at in kept.items() if domain(name) != domain(server)}
