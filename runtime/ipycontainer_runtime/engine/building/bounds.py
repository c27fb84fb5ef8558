"""How much a build may be given, in its context and with each thing that it fetches; where from.

A Dockerfile is somebody else's: it may name addresses that only this machine can reach.
"""

from urllib.parse import urlsplit

from ipycontainer_runtime import configuration
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.layers.tarread import Limits
from ipycontainer_runtime.registry.hosts import is_loopback, is_private_address

_ENTRIES = 1_000_000


def limits() -> Limits:
    """Return the bounds that are configured; InvalidParameter where the file is broken."""
    most = configuration.read().context_limit
    return Limits(entries=_ENTRIES, unpacked=most, file=most)


def cure() -> str:
    """Return what helps who needs more."""
    return f"leave out what is not needed, or raise build-context-limit in {configuration.path()}"


def refuse_link(url: str) -> None:
    """Raise InvalidParameter for a URL that is none, or is of the machine's link."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError as error:
        raise InvalidParameter(f"ADD failed: {url} is no URL: {error}") from error
    if is_private_address(host) and not is_loopback(host):
        raise InvalidParameter(
            f"ADD failed: {host} is an address of this machine's link, which may give its "
            "credentials away: COPY the files from the context"
        )
