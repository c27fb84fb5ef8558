"""Logins: the person's, from Docker's config.json and its helpers, sent along with a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .failures import Failure

if TYPE_CHECKING:
    from .session import Session


class Sent:
    """The login that goes with one pull or push, in the header X-Registry-Auth."""

    def __init__(self, server: str, header: dict[str, str], source: str) -> None:
        self.header = header
        self._server = server
        self._source = source

    @classmethod
    def to(cls, image: str) -> Sent:
        """Return what is known of the registry in an image's name; raises what says why not."""
        from ipycontainer_runtime.client import logins

        server = registry_of(image)
        login = logins().lookup(server)
        return cls(server, login.header(server), login.source) if login else cls(server, {}, "")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Say where the login is kept if a registry refuses what was sent."""
        from docker.errors import APIError

        try:
            yield
        except (APIError, Failure) as error:
            told = str(error.explanation if isinstance(error, APIError) else error)
            refused = any(word in told.lower() for word in ("unauthorized", "denied", "401"))
            if not self.header or not refused:
                raise
            raise Failure(
                f"{told}; the login to {self._server} is the one in {self._source}"
            ) from error


def for_build(session: Session) -> dict[str, str]:
    """Return the header with every login, for the images that a build may want.

    Where one cannot be had the build goes on with none, as it may want no registry at all.
    """
    from ipycontainer_runtime.client import logins

    try:
        return {"X-Registry-Config": logins().config_header(session.surface.note)}
    except Exception as error:
        session.surface.note(f"built without logins: {session.explained(error)}")
        return {}


def registry_of(image: str) -> str:
    """Return the registry in an image's name, `docker.io` where none is written."""
    from docker.auth import INDEX_NAME, resolve_repository_name
    from docker.errors import InvalidRepository

    try:
        found: Any = resolve_repository_name(image)[0]
    except InvalidRepository:
        return str(INDEX_NAME)  # what is wrong with the name is the engine's to say
    return str(found)
