"""What is at a URL that a person gave, as it comes: no registry, and no login."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import requests

from ipycontainer_runtime.errors import InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.registry.client import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    REDIRECT_LIMIT,
    USER_AGENT,
)

_CHUNK = 256 << 10


class Fetched(NamedTuple):
    """An answer whose body is still to come; `size` is 0 where the server does not say."""

    chunks: Iterator[bytes]
    size: int
    url: str
    """Where redirects led."""
    modified: str
    """The Last-Modified header, or nothing."""


def check(url: str) -> None:
    """Raise InvalidParameter for what is no URL that can be fetched."""
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidParameter(f"invalid URL {url[:200]!r}: one of http or https is wanted")


@contextlib.contextmanager
def fetching(url: str) -> Iterator[Fetched]:
    """Ask for a URL of http or https; NotFound for what is not there, Unavailable out of reach."""
    check(url)
    with requests.Session() as session:
        session.max_redirects = REDIRECT_LIMIT
        session.headers["User-Agent"] = USER_AGENT
        # As it is: a server that compresses on the way would change what a digest is taken of.
        session.headers["Accept-Encoding"] = "identity"
        try:
            response = session.get(url, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT))
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(f"cannot fetch {url}: {_reason(error)}") from error
        with response:
            if response.status_code >= 400:
                raise NotFound(f"cannot fetch {url}: the server answers {response.status_code}")
            length = response.headers.get("Content-Length", "")
            yield Fetched(
                _chunks(response, url),
                int(length) if length.isdecimal() else 0,
                response.url,
                response.headers.get("Last-Modified", ""),
            )


def _chunks(response: requests.Response, url: str) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_CHUNK)
    except requests.RequestException as error:
        raise Unavailable(f"{url} was cut off: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the innermost cause, without the names of the library's classes."""
    text = str(error.args[0] if error.args else error)
    return text.rpartition(": ")[2].strip("'\")>") or type(error).__name__
