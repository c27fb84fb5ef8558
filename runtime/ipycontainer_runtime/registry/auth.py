"""The authentication that registries ask for: none, basic, or a bearer token from a realm.

Protocol: https://distribution.github.io/distribution/spec/auth/token/ and RFC 9110 section 11.
A realm is followed only over https (a registry on this machine may name its own host over http),
and is given the registry's credentials only where it belongs to the registry's own domain.
"""

import base64
import re
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from ipycontainer_runtime.credentials.login import Login
from ipycontainer_runtime.errors import Unauthorized
from ipycontainer_runtime.registry.hosts import Endpoint, is_kin, may_follow

TOKEN_LIMIT = 1 << 20
_CHALLENGE = re.compile(
    # From a word's beginning and no longer than words are: one of a header's length would take
    # time by its square, and the interpreter's lock with it.
    r'\b([A-Za-z]{1,32})\s+((?:[A-Za-z_]{1,32}\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",]+)\s*(?:,\s*|$))+)'
)
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')


class Challenge(NamedTuple):
    """One way to authenticate, out of a WWW-Authenticate header; names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


class TokenCall(NamedTuple):
    """What to ask a realm for a token: a GET, or with `form` a POST."""

    url: str
    query: Mapping[str, str | list[str]]
    form: Mapping[str, str] | None
    authorization: str | None


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    refresh_token: str = ""


class Refused(Unauthorized):
    """The credentials are not accepted."""


FetchToken = Callable[[TokenCall], bytes]
"""Makes the call, follows no redirect, and returns a body of at most TOKEN_LIMIT bytes."""


def parse_challenges(header: str) -> list[Challenge]:
    """Return the challenges of a WWW-Authenticate header in their order."""
    found = []
    for scheme, rest in _CHALLENGE.findall(header[:8192]):
        parameters = {
            name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)
        }
        found.append(Challenge(scheme.lower(), parameters))
    if not found and header.strip().lower().startswith("basic"):
        found.append(Challenge("basic", {}))
    return found


class Authorizer:
    """Keeps the Authorization header of one registry, by scope; used by several threads."""

    def __init__(self, endpoint: Endpoint, login: Login | None, fetch: FetchToken) -> None:
        self._endpoint = endpoint
        self._login = login
        self._fetch = fetch
        self._headers: dict[str, str] = {}
        self._lock = threading.Lock()
        self.offline = False
        """Set to ask for an identity token, which stands for the password from then on."""
        self.identity_token = ""

    def header(self, scope: str) -> str | None:
        """Return what worked for this scope before, or None before the first challenge."""
        if self._login and self._login.registry_token:
            return f"Bearer {self._login.registry_token}"
        return self._headers.get(scope) or self._headers.get("")

    def answer(self, challenges: str, scope: str, refused: str | None) -> str:
        """Return the header that answers a 401, asking a realm for a token where one is named.

        `refused` is the header that was just refused: another thread may have renewed it already.
        Raises Unauthorized where there is nothing to answer with.
        """
        with self._lock:
            current = self.header(scope)
            if current is not None and current != refused:
                return current
            if self._login and self._login.registry_token:
                raise Refused(f"{self._endpoint.domain} does not accept this registry token")
            key, value = self._authorize(parse_challenges(challenges), scope)
            if value == refused:
                raise Refused(f"{self._endpoint.domain} does not accept these credentials")
            self._headers[key] = value
            return value

    def _authorize(self, challenges: list[Challenge], scope: str) -> tuple[str, str]:
        for challenge in challenges:
            if challenge.scheme == "bearer":
                return scope, f"Bearer {self._token(challenge, scope)}"
        if any(challenge.scheme == "basic" for challenge in challenges):
            if self._login and self._login.username:
                return "", _basic(self._login)
            raise Unauthorized("no basic auth credentials")
        raise Unauthorized("authentication required")

    def _token(self, challenge: Challenge, scope: str) -> str:
        call = self._call(challenge, scope)
        try:
            token = msgspec.json.decode(self._fetch(call), type=_Token)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unauthorized(f"{call.url} did not answer with a token") from error
        self.identity_token = token.refresh_token if self.offline else ""
        found = token.token or token.access_token
        if not found or not found.isascii() or not found.isprintable():
            raise Unauthorized(f"{call.url} did not answer with a token")
        return found

    def _call(self, challenge: Challenge, scope: str) -> TokenCall:
        realm = challenge.parameters.get("realm", "")
        if reason := may_follow(self._endpoint, realm):
            raise Unauthorized(
                f'{self._endpoint.domain} names "{realm[:200]}" as its token service: {reason}'
            )
        host = urlsplit(realm).hostname or ""
        if self._login and not is_kin(self._endpoint, host):
            raise Unauthorized(
                f"{self._endpoint.domain} wants its credentials sent to {host}, which is refused; "
                "log out to pull without them"
            )
        # Our own scope, not the challenge's: a registry must not widen what a token allows.
        query: dict[str, str | list[str]] = {"scope": scope.split(" ")} if scope else {}
        if service := challenge.parameters.get("service"):
            query["service"] = service
        return self._with_login(realm, query)

    def _with_login(self, realm: str, query: dict[str, str | list[str]]) -> TokenCall:
        if self._login and self._login.identity_token:
            # Here scopes are one word list (RFC 6749 section 3.3), in a query one `scope` each.
            words = {k: v if isinstance(v, str) else " ".join(v) for k, v in query.items()}
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._login.identity_token,
                "client_id": "ipycontainer",
                **words,
            }
            return TokenCall(realm, {}, form, None)
        if self.offline and self._login:
            query |= {
                "offline_token": "true",
                "client_id": "ipycontainer",
                "account": self._login.username,
            }
        return TokenCall(realm, query, None, _basic(self._login) if self._login else None)


def _basic(login: Login) -> str:
    pair = f"{login.username}:{login.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
