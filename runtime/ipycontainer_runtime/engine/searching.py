"""Search: which images a registry has by a word, by the first version of Docker Hub's API.

The distribution API has no search; Docker Hub and a few others answer `GET /v1/search?q=…&n=…`
with `{"results": [{"name", "description", "star_count", "is_official", "is_automated"}]}`, as
Docker's engine asks for it (moby, registry/session.go).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from ipycontainer_runtime.credentials.config import DockerConfig
from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound
from ipycontainer_runtime.registry.client import Call, Registry
from ipycontainer_runtime.registry.credentials import Given
from ipycontainer_runtime.registry.errors import RegistryError
from ipycontainer_runtime.registry.hosts import DOCKER_HUB

_HUB_SEARCH = "https://index.docker.io"
_USUAL, _MOST = 25, 100
_LARGEST = 4 << 20
"""Bytes of an answer: a hundred results with long descriptions are a tenth of it."""

_FILTERS = ("is-automated", "is-official", "stars")
_TRUE, _FALSE = ("1", "true"), ("0", "false")

Filters = Mapping[str, Sequence[str]]


class Result(msgspec.Struct):
    """One image that was found, in the API's spelling."""

    name: str
    description: str | None = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Page(msgspec.Struct):
    results: list[Result] | None = None


def search(term: str, limit: int | None, filters: Filters, auth: str | None) -> list[Any]:
    """Return GET /images/search; `auth` is the X-Registry-Auth header. Waits for the registry.

    Raises InvalidParameter for what is asked wrongly, NotFound where a registry has no search.
    """
    if not term:
        raise InvalidParameter("no term was given: name what to look for, as in `search busybox`")
    if limit and not 1 <= limit <= _MOST:
        raise InvalidParameter(f"limit {limit} is outside the range of [1, {_MOST}]")
    wanted = _Wanted(filters)
    domain, words = _split(term)
    query = urlencode({"q": words, "n": limit or _USUAL})
    base = _HUB_SEARCH if domain == DOCKER_HUB else ""
    with Registry(domain, Given(auth, DockerConfig())) as registry:
        try:
            body, _ = registry.fetch(Call("GET", f"{base}/v1/search?{query}", ""), _LARGEST)
            found = msgspec.json.decode(body, type=_Page).results or ()
        except RegistryError as error:
            if error.http not in (404, 405):
                raise
            raise NotFound(
                f"the registry {domain} has no search: pull an image by its whole name"
            ) from error
        except msgspec.MsgspecError as error:
            raise Corrupt(
                f"the registry {domain} answered a search with no result: {error}"
            ) from error
    return [_shown(result) for result in found if wanted.has(result)]


def _split(term: str) -> tuple[str, str]:
    """Return the registry that a term names before its first slash, and what to look for there."""
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        if not rest:
            raise InvalidParameter(
                f"invalid term {term!r}: it names a registry and nothing to find"
            )
        return ("docker.io", rest) if first == "index.docker.io" else (first, rest)
    return DOCKER_HUB, term.removeprefix("library/")


def _shown(result: Result) -> dict[str, Any]:
    return {
        "star_count": result.star_count,
        "is_official": result.is_official,
        "name": result.name,
        "is_automated": result.is_automated,
        "description": result.description or "",
    }


class _Wanted:
    """The filters of a search, read and checked."""

    def __init__(self, filters: Filters) -> None:
        for name in filters:
            if name not in _FILTERS:
                raise InvalidParameter(f"invalid filter '{name}': use {', '.join(_FILTERS)}")
        self._automated = _flag(filters, "is-automated")
        self._official = _flag(filters, "is-official")
        stars = filters.get("stars", ())
        if not all(text.isdecimal() and len(text) < 12 for text in stars):
            raise InvalidParameter(f"invalid filter 'stars={[*stars]}': a whole number is wanted")
        self._stars = max(map(int, stars), default=0)

    def has(self, result: Result) -> bool:
        """Tell whether a result is let through."""
        return (
            self._automated in (None, result.is_automated)
            and self._official in (None, result.is_official)
            and result.star_count >= self._stars
        )


def _flag(filters: Filters, name: str) -> bool | None:
    values = {value.lower() for value in filters.get(name, ())}
    if not values <= {*_TRUE, *_FALSE} or len(values) > 1:
        raise InvalidParameter(f"invalid filter '{name}={sorted(values)}': true or false is wanted")
    return None if not values else values <= {*_TRUE}
