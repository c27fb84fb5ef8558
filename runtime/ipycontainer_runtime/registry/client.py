"""One registry, spoken to over `requests`: addresses, authentication, redirects, bounds.

A `Registry` is made for one pull or push and used by several threads at once. Redirects are
followed here and not by `requests`: the Authorization header goes to the registry itself and to
nobody else, https is never left, and no answer is read without a bound.
"""

import time
from collections.abc import Iterable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from ipycontainer_runtime import configuration
from ipycontainer_runtime.credentials.login import Login
from ipycontainer_runtime.errors import ContainerError, Corrupt, Unauthorized, Unavailable
from ipycontainer_runtime.registry import certificates
from ipycontainer_runtime.registry.auth import TOKEN_LIMIT, Authorizer, Refused, TokenCall
from ipycontainer_runtime.registry.certificates import Certificates, TlsAdapter, UncheckedAdapter
from ipycontainer_runtime.registry.credentials import Anonymous, Credentials
from ipycontainer_runtime.registry.errors import (
    ERROR_LIMIT,
    Lost,
    RegistryError,
    answered,
    unreachable,
)
from ipycontainer_runtime.registry.hosts import Endpoint, endpoint, may_follow
from ipycontainer_runtime.registry.retry import pause

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
ATTEMPTS = 3
"""Of a document: a wrong port in an image's name must not take long to tell."""
REDIRECT_LIMIT = 5
CONNECTIONS = 8
USER_AGENT = "ipycontainer"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Body = bytes | Iterable[bytes]


class Call(NamedTuple):
    """One request to a registry; `location` is a path below /v2/ or a URL the registry gave."""

    method: str
    location: str
    scope: str
    headers: Mapping[str, str] = {}
    body: Body | None = None


class Registry:
    """A client of one registry; close it, or use it as a context manager."""

    def __init__(
        self,
        domain: str,
        credentials: Credentials | None = None,
        *,
        timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT),
    ) -> None:
        self._timeout = timeout
        found = certificates.find(endpoint(domain).domain)
        self.endpoint: Endpoint = endpoint(
            domain, certified=found is not None, insecure=configuration.read().insecure
        )
        self._login = (credentials or Anonymous()).lookup(domain)
        self._session = _session(self.endpoint, found)
        if self.endpoint.insecure:
            self.endpoint = self._without_tls()
        self._authorizer = Authorizer(self.endpoint, self._login, self._fetch_token)

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection that no answer is using."""
        self._session.close()

    def _without_tls(self) -> Endpoint:
        """Return how to speak to an insecure registry: with TLS if it has that, else without."""
        try:
            self._send(Call("GET", "", ""), f"{self.endpoint.base}/v2/", None).close()
        except Lost:
            return self.endpoint._replace(scheme="http")
        return self.endpoint

    def call(self, call: Call) -> requests.Response:
        """Make a request, authenticating where asked, and return the streaming answer.

        The caller closes it. Raises RegistryError for an error status, `errors.Lost` where the
        registry is out of reach, Unauthorized where it asks for what is not there.
        """
        response = self._authorized(call)
        if response.status_code < 400:
            return response
        with response:
            body = read_bounded(response, ERROR_LIMIT)
            if response.status_code == 401 and not self._is_ours(response.url):
                raise RegistryError(self._elsewhere(response.url), code="UNAUTHORIZED", http=401)
            if response.status_code == 401 and self._login:
                raise RegistryError(self._unwanted(), code="UNAUTHORIZED", http=401)
            raise answered(self.endpoint, response.status_code, body, response.headers)

    def read(self, call: Call, limit: int) -> tuple[bytes, Mapping[str, str]]:
        """Make a request and return its whole body, at most `limit` bytes, and its headers."""
        with self.call(call) as response:
            body = read_bounded(response, limit + 1)
            if len(body) > limit:
                raise Corrupt(
                    f"{call.location} of the registry {self.endpoint.domain} is larger than the "
                    f"{limit} bytes that are allowed for it"
                )
            return body, response.headers

    def fetch(self, call: Call, limit: int) -> tuple[bytes, Mapping[str, str]]:
        """Do what `read` does for a GET, again after a cut answer or where the registry is busy."""
        failures = 0
        while True:
            try:
                return self.read(call, limit)
            except (Lost, RegistryError) as error:
                failures += 1
                wait = pause(failures, error)
                if not error.transient or failures >= ATTEMPTS or wait is None:
                    raise
            time.sleep(wait)

    def ping(self) -> None:
        """Check that the registry speaks the distribution API; authenticates if asked to."""
        self.read(Call("GET", "", ""), ERROR_LIMIT)

    def log_in(self) -> str:
        """Check the credentials, and return the identity token that stands for them, or nothing.

        Raises RegistryError where they are refused.
        """
        self._authorizer.offline = True
        self.ping()
        return self._authorizer.identity_token

    def _unwanted(self) -> str:
        """Say whose login is not accepted, by whom, and where it is kept."""
        login = self._login or Login()
        kept = f" in {login.source}" if login.source else ""
        who = f" of {login.username}" if login.username else ""
        return (
            f"unauthorized: the registry {self.endpoint.domain} does not accept the login{who}"
            f"{kept}; renew it with `docker login {self.endpoint.domain}`"
        )

    def _is_ours(self, url: str) -> bool:
        """Tell whether a URL is one of the registry itself."""
        return _origin(url) == _origin(self.endpoint.base)

    def _elsewhere(self, url: str) -> str:
        return (
            f"unauthorized: {urlsplit(url).netloc} wants a login, where the registry"
            f" {self.endpoint.domain} redirects to; a login goes to the registry alone"
        )

    def _authorized(self, call: Call) -> requests.Response:
        sent = self._authorizer.header(call.scope)
        response = self._follow(call, sent)
        # A challenge of whoever a redirect leads to could name him as the token service.
        if response.status_code != 401 or not self._is_ours(response.url):
            return response
        challenges = response.headers.get("WWW-Authenticate", "")
        with response:
            # Read to its end, so that the connection is used again: it cost a TLS handshake.
            read_bounded(response, ERROR_LIMIT)
        try:
            renewed = self._authorizer.answer(challenges, call.scope, sent)
        except Unauthorized as error:
            told = self._unwanted() if isinstance(error, Refused) else str(error)
            raise RegistryError(told, code="UNAUTHORIZED", http=401) from error
        return self._follow(call, renewed)

    def _follow(self, call: Call, authorization: str | None) -> requests.Response:
        url = self._url(call.location)
        for _ in range(REDIRECT_LIMIT):
            ours = self._is_ours(url)
            response = self._send(call, url, authorization if ours else None)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            target = self._target(url, response.headers.get("Location", ""))
            if call.method not in ("GET", "HEAD"):
                raise Unavailable(f"the registry {self.endpoint.domain} redirects a {call.method}")
            self._check(target)
            url = target
        raise Unavailable(f"{self._url(call.location)} redirects more than {REDIRECT_LIMIT} times")

    def _url(self, location: str) -> str:
        if not location.startswith(("http://", "https://", "/")):
            return f"{self.endpoint.base}/v2/{location}"
        url = self._target(self.endpoint.base, location)
        self._check(url)
        return url

    def _target(self, url: str, location: str) -> str:
        try:
            return urljoin(url, location)
        except ValueError as error:
            raise Unavailable(
                f"the registry {self.endpoint.domain} redirects to {location[:200]}: {error}"
            ) from error

    def _check(self, url: str) -> None:
        if reason := may_follow(self.endpoint, url):
            raise Unavailable(
                f"the registry {self.endpoint.domain} redirects to {url[:200]}, which is refused: "
                f"{reason}"
            )

    def _send(self, call: Call, url: str, authorization: str | None) -> requests.Response:
        headers = {"Accept-Encoding": "identity", **call.headers}
        try:
            return self._session.request(
                call.method,
                url,
                data=call.body,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
                auth=_Header(authorization),
            )
        except (requests.RequestException, OSError) as error:
            raise unreachable(self.endpoint, error) from error

    def _fetch_token(self, call: TokenCall) -> bytes:
        try:
            response = self._session.request(
                "POST" if call.form is not None else "GET",
                call.url,
                params=dict(call.query),
                data=call.form,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
                auth=_Header(call.authorization),
            )
        except (requests.RequestException, OSError) as error:
            raise unreachable(self.endpoint, error) from error
        with response:
            if response.status_code != 200:
                raise self._no_token(urlsplit(call.url).netloc, response)
            return read_bounded(response, TOKEN_LIMIT)

    def _no_token(self, service: str, response: requests.Response) -> ContainerError:
        of = self.endpoint._replace(domain=service)
        busy = answered(of, response.status_code, b"", response.headers)
        if busy.transient:
            return busy
        refused = response.status_code in (400, 401, 403) and self._login
        return (Refused if refused else Unauthorized)(
            f"{service} answered a request for a token with HTTP status {response.status_code}"
        )


class _Header(requests.auth.AuthBase):
    """Sets the Authorization header; being there at all, it keeps `requests` out of ~/.netrc."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class _Session(requests.Session):
    """A session that leaves redirects alone.

    `requests` prepares the next request even where it may not follow, and for that reads the whole
    body of a redirect into memory, however long it is.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no redirect."""


def read_bounded(response: requests.Response, limit: int) -> bytes:
    """Read at most `limit` bytes of a body as it came; what follows is left unread."""
    parts: list[bytes] = []
    left = limit
    try:
        for chunk in response.raw.stream(65536, decode_content=False):
            parts.append(chunk[:left])
            left -= len(chunk)
            if left <= 0:
                break
    except (OSError, HTTPError) as error:
        where = urlsplit(response.url).netloc
        raise Lost(f"the connection to {where} broke in an answer; try again") from error
    return b"".join(parts)


def _session(target: Endpoint, found: Certificates | None) -> requests.Session:
    session = _Session()
    session.headers["User-Agent"] = USER_AGENT
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Proxies and certificate bundles come from the environment, as in every program; but a
    # registry on this machine is never behind a proxy.
    session.trust_env = not target.loopback
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    if found is None:
        session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        if target.insecure:
            session.mount(f"{target.base}/", UncheckedAdapter(pool_maxsize=CONNECTIONS))
        return session
    # Its token service and its store may have certificates of the same authority; but who this
    # client is, is for the registry alone.
    for prefix, shown in (("https://", False), (f"{target.base}/", True)):
        context = found.context(shown=shown)
        session.mount(prefix, TlsAdapter(context, pool_maxsize=CONNECTIONS))
    return session


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )
