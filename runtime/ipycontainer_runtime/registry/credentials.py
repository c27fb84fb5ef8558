"""Where the credentials of a registry come from, and for which host they are.

`Credentials` is the seam: today Docker's own configuration file and the header that a client
sends with its request; credential helpers will be one more implementation.
"""

import base64
import binascii
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.registry.hosts import DOCKER_HUB

CONFIG_LIMIT = 1 << 20
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True)
class Login:
    """What a registry accepts as proof; never shown by repr, so never in a log or a traceback."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)


class Credentials(Protocol):
    """Answers once per pull or push, on the thread that is about to speak to the registry."""

    def lookup(self, domain: str) -> Login | None:
        """Return the login for a reference's domain, or None to stay anonymous."""
        ...


class Anonymous:
    """Knows no credentials."""

    def lookup(self, domain: str) -> Login | None:
        """Return None."""
        return None


class _Entry(
    msgspec.Struct,
    rename={
        "identity_token": "identitytoken",
        "registry_token": "registrytoken",
        "server": "serveraddress",
    },
):
    """One record of `auths`, and what the X-Registry-Auth header carries: the same fields."""

    username: str = ""
    password: str = ""
    auth: str = ""
    identity_token: str = ""
    registry_token: str = ""
    server: str = ""

    def login(self) -> Login | None:
        username, password = self.username, self.password
        if self.auth and not username:
            text = base64.b64decode(self.auth).rstrip(b"\0").decode()
            username, _, password = text.partition(":")
        return Login(username, password, self.identity_token, self.registry_token) or None


class _Config(msgspec.Struct):
    auths: dict[str, _Entry] = {}


class DockerConfig:
    """The `auths` of Docker's config.json: $DOCKER_CONFIG/config.json, else in ~/.docker."""

    def __init__(self, path: Path | None = None) -> None:
        folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        self._path = path or Path(folder) / "config.json"

    def lookup(self, domain: str) -> Login | None:
        """Return the login stored for exactly this domain; a missing file knows none.

        Raises InvalidParameter, naming the file, where it cannot be read as Docker writes it.
        """
        with self._readable():
            found = [e for key, e in self._auths().items() if _domain(key) == _domain(domain)]
            return found[0].login() if found else None

    def domains(self) -> list[str]:
        """Return the domains that a login is stored for; errors as in `lookup`."""
        with self._readable():
            return [_domain(key) for key in self._auths()]

    def _auths(self) -> dict[str, _Entry]:
        try:
            with self._path.open("rb") as file:
                raw = file.read(CONFIG_LIMIT + 1)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return {}
        if len(raw) > CONFIG_LIMIT:
            raise ValueError(f"it is larger than {CONFIG_LIMIT} bytes")
        return msgspec.json.decode(raw, type=_Config).auths

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, msgspec.MsgspecError) as error:
            # Not `error` itself: it may quote what it could not decode.
            raise InvalidParameter(
                f"{self._path} is not a Docker configuration; repair or remove it"
            ) from error


class Given:
    """What a client sent in X-Registry-Auth; `otherwise` is asked where that holds nothing."""

    def __init__(self, header: str | None, otherwise: Credentials) -> None:
        self._entry = _decode_header(header) if header else None
        self._otherwise = otherwise

    def lookup(self, domain: str) -> Login | None:
        """Return the sent login unless it says that it is for another server."""
        if self._entry is None or not (login := self._entry.login()):
            return self._otherwise.lookup(domain)
        server = self._entry.server
        return login if not server or _domain(server) == _domain(domain) else None


def _decode_header(header: str) -> _Entry:
    try:
        # Docker writes base64url with padding, docker-py without newlines; both decode so.
        padded = header + "=" * (-len(header) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(raw or b"{}", type=_Entry)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidParameter(
            "the X-Registry-Auth header is not base64url of JSON; log in again"
        ) from error


def _domain(server: str) -> str:
    """Reduce `https://index.docker.io/v1/`, `https://host:5000` or `host:5000` to a domain."""
    bare = server.split("://", 1)[-1].split("/", 1)[0].lower()
    return DOCKER_HUB if bare in _HUB_NAMES else bare
