"""Whose credentials a pull or a push uses, and for which host they are."""

from typing import Protocol

from ipycontainer_runtime.credentials.login import Login, decode_header, domain


class Credentials(Protocol):
    """Answers once per pull or push, on the thread that is about to speak to the registry."""

    def lookup(self, server: str, /) -> Login | None:
        """Return the login for a reference's domain, or None to stay anonymous."""
        ...


class Anonymous:
    """Knows no credentials."""

    def lookup(self, server: str) -> Login | None:
        """Return None."""
        return None


class Given:
    """What a client sent in X-Registry-Auth; `otherwise` is asked where that holds nothing."""

    def __init__(self, header: str | None, otherwise: Credentials) -> None:
        self._entry = decode_header(header) if header else None
        self._otherwise = otherwise

    def lookup(self, server: str) -> Login | None:
        """Return the sent login unless it says that it is for another server."""
        if self._entry is None or not (login := self._entry.login()):
            return self._otherwise.lookup(server)
        meant = self._entry.server
        return login if not meant or domain(meant) == domain(server) else None
