"""The tags of a repository, page by page.

Protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags
"""

import re

import msgspec

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.registry.client import Call, Registry

MOST = 10_000
"""Tags of one repository that are pulled at once; more is no wish but a mistake."""
PAGE_LIMIT = 4 << 20
_NEXT = re.compile(r'\s*<([^<>"]{1,2000})>\s*;\s*rel="?next"?\s*')


class _Page(msgspec.Struct):
    tags: list[str] | None = None


def tags(registry: Registry, repository: str) -> list[str]:
    """Return every tag, in the registry's order; Corrupt where it lists too many, or no JSON."""
    found: dict[str, None] = {}
    location = f"{repository}/tags/list"
    while True:
        before = len(found)
        call = Call("GET", location, f"repository:{repository}:pull")
        raw, headers = registry.fetch(call, PAGE_LIMIT)
        try:
            found |= dict.fromkeys(msgspec.json.decode(raw, type=_Page).tags or ())
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Corrupt(
                f"the registry {registry.endpoint.domain} does not list the tags of {repository}"
            ) from error
        if len(found) > MOST:
            raise Corrupt(f"{repository} has more than {MOST} tags: name those that are wanted")
        following = _NEXT.match(headers.get("Link", ""))
        if following is None or len(found) == before:
            return list(found)
        location = _below(following[1], repository)


def _below(link: str, repository: str) -> str:
    """Return where the next page is: a page of a path says no host, a bare query no path."""
    return f"{repository}/tags/list{link}" if link.startswith("?") else link
