"""What is at a URL that a person gave, as it comes: no registry, and no login but the URL's own."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url

from ipycontainer_runtime.errors import InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.registry.client import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    REDIRECT_LIMIT,
    USER_AGENT,
)
from ipycontainer_runtime.registry.hosts import without_login

_CHUNK = 256 << 10
_SAID = re.compile(r"\[Errno -?\d+\] ([^'\")>]+)")
"""The operating system's words, somewhere in those of `requests`."""


class Fetched(NamedTuple):
    """An answer whose body is still to come; `size` is 0 where the server does not say."""

    chunks: Iterator[bytes]
    size: int
    url: str
    """Where redirects led."""
    modified: str
    """The Last-Modified header, or nothing."""


class Refused(NotFound):
    """The server answered with an error; `code` is its HTTP status, `reason` its words for it."""

    def __init__(self, told: str, code: int, reason: str) -> None:
        super().__init__(f"cannot fetch {told}: the server answers {code}")
        self.code = code
        self.reason = reason


def check(url: str) -> None:
    """Raise InvalidParameter for what is no URL that can be fetched."""
    if not url.lower().startswith(("http://", "https://")):
        told = without_login(url)[:200]
        raise InvalidParameter(f"invalid URL {told!r}: one of http or https is wanted")


@contextlib.contextmanager
def fetching(url: str, permit: Callable[[str], None] = check) -> Iterator[Fetched]:
    """Ask for a URL of http or https; Refused for what is not there, Unavailable out of reach.

    `permit` is called with every URL before it is asked, also where a redirect leads, and raises
    for those that may not be.
    """
    check(url)
    told = without_login(url)
    with _Session(permit) as session:
        session.max_redirects = REDIRECT_LIMIT
        session.headers["User-Agent"] = USER_AGENT
        # As it is: a server that compresses on the way would change what a digest is taken of.
        session.headers["Accept-Encoding"] = "identity"
        try:
            response = session.get(
                url, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), auth=_own_login
            )
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(f"cannot fetch {told}: {_reason(error)}") from error
        with response:
            if response.status_code >= 400:
                raise Refused(told, response.status_code, response.reason or "")
            length = response.headers.get("Content-Length", "")
            yield Fetched(
                _chunks(response, told),
                int(length) if length.isdecimal() else 0,
                response.url,
                response.headers.get("Last-Modified", ""),
            )


class _Session(requests.Session):
    """A session that leaves ~/.netrc alone, where a redirect leads as well.

    It is the engine's, and a Dockerfile that says from where may be anybody's.
    """

    def __init__(self, permit: Callable[[str], None]) -> None:
        super().__init__()
        self._permit = permit

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, a redirected one too, unless it may not be."""
        self._permit(request.url or "")
        return super().send(request, **kwargs)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Called by `requests` before it follows a redirect: keep the login from others."""
        session: Any = self  # whose types do not name it
        if session.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)


def _own_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send what the URL itself says; being there at all, it keeps `requests` out of ~/.netrc."""
    login = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(*login)(request) if any(login) else request


def _chunks(response: requests.Response, url: str) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_CHUNK)
    except requests.RequestException as error:
        raise Unavailable(f"{url} was cut off: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the innermost cause, without the names of the library's classes."""
    text = str(error.args[0] if error.args else error)
    if found := _SAID.search(text):
        return found[1]
    return text.rpartition(": ")[2].strip("'\")>") or type(error).__name__
