"""One login, and how Docker's files and headers write it."""

import base64
import binascii
from dataclasses import dataclass, field, replace

import msgspec

from ipycontainer_runtime.errors import InvalidParameter

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""What Docker calls its Hub in config.json and to helpers."""
TOKEN_USER = "<token>"  # noqa: S105 - the name that says that a secret is an identity token
_HUB_NAMES = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True)
class Login:
    """What a registry accepts as proof; never shown by repr, so never in a log or a traceback."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    source: str = field(default="", compare=False)
    """Where it is kept, for messages: a path, or a helper's name."""

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)

    def header(self, domain: str) -> dict[str, str]:
        """Return what a client sends in X-Registry-Auth, and says in POST /auth."""
        told = {"username": self.username, "serveraddress": key(domain)}
        if self.identity_token:
            return {**told, "identitytoken": self.identity_token}
        if self.registry_token:
            return {**told, "registrytoken": self.registry_token}
        return {**told, "password": self.password}


class Entry(
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
        """Return what it holds, if that is anything; ValueError where `auth` is no base64."""
        username, password = self.username, self.password
        if self.auth and not username:
            text = base64.b64decode(self.auth).rstrip(b"\0").decode()
            username, _, password = text.partition(":")
        return Login(username, password, self.identity_token, self.registry_token) or None


def entry(login: Login) -> dict[str, str]:
    """Return the record of `auths` that Docker writes for a login."""
    password = "" if login.identity_token else login.password
    pair = f"{login.username}:{password}".encode()
    kept = {"auth": base64.b64encode(pair).decode()}
    return {**kept, "identitytoken": login.identity_token} if login.identity_token else kept


def decode_header(header: str) -> Entry:
    """Read an X-Registry-Auth header; InvalidParameter where it is none."""
    try:
        # Docker writes base64url with padding, docker-py without newlines; both decode so.
        padded = header + "=" * (-len(header) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(raw or b"{}", type=Entry)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        # Not chained: the cause would hold what could not be decoded.
        raise InvalidParameter(
            "the X-Registry-Auth header is not base64url of JSON; log in again"
        ) from None


def encode_header(content: object) -> str:
    """Return JSON in base64url, as both headers are written."""
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).decode()


def domain(server: str) -> str:
    """Reduce `https://index.docker.io/v1/`, `https://host:5000` or `host:5000` to a domain."""
    bare = server.split("://", 1)[-1].split("/", 1)[0].lower()
    return HUB if bare in _HUB_NAMES else bare


def key(server: str) -> str:
    """Return what Docker keeps a server's login under."""
    bare = domain(server)
    return HUB_KEY if bare == HUB else bare


def kept_in(login: Login, source: str) -> Login:
    """Return the login with where it is kept."""
    return replace(login, source=source)
