"""What can be asked of this engine alone, as annotations: Docker's API has no fields for it.

Any client can write them: `docker run --annotation io.ipycontainer.timeout=30 …`.
"""

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.records import HostConfig

PREFIX = "io.ipycontainer."
TIMEOUT = PREFIX + "timeout"
"""Seconds after its start at which a container is stopped."""
REQUIRE_LIMITS = PREFIX + "require-limits"
"""`true` refuses a container whose limits this machine cannot set, rather than warn."""
USERNS = PREFIX + "userns"
"""`auto` is what `UsernsMode` says too, which the `docker` command lets nobody ask for."""
EXPLAIN = PREFIX + "explain"
"""`true` has the launcher note each of its operations, for the container's timeline."""

LEASE = PREFIX + "lease"
"""`true` kills a container when a client that is attached to its standard input has gone."""

_KNOWN = (TIMEOUT, REQUIRE_LIMITS, USERNS, EXPLAIN, LEASE)
_LONGEST = 10 * 365 * 86400


def check_annotations(host: HostConfig) -> None:
    """Refuse an annotation that claims to be ours and is not, or has no value that it can have.

    The mode that `USERNS` asks for is filled in.
    """
    for name in host.annotations or ():
        if name.startswith(PREFIX) and name not in _KNOWN:
            raise InvalidParameter(f"unknown annotation '{name}': use {' or '.join(_KNOWN)}")
    host.userns_mode = host.userns_mode or (host.annotations or {}).get(USERNS, "")
    timeout(host)
    requires_limits(host)
    wants_explained(host)
    wants_lease(host)


def timeout(host: HostConfig) -> float | None:
    """Return how many seconds a container may run, None for as long as it likes."""
    text = (host.annotations or {}).get(TIMEOUT)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < _LONGEST:
        raise InvalidParameter(f"invalid timeout {text!r}: write seconds, such as 30 or 0.5")
    return seconds


def requires_limits(host: HostConfig) -> bool:
    """Tell whether a limit that does not bind is an error."""
    return _said(host, REQUIRE_LIMITS)


def wants_explained(host: HostConfig) -> bool:
    """Tell whether the launcher is to note what it does."""
    return _said(host, EXPLAIN)


def wants_lease(host: HostConfig) -> bool:
    """Tell whether the container is to live no longer than who is attached to its input."""
    return _said(host, LEASE)


def _said(host: HostConfig, name: str) -> bool:
    text = (host.annotations or {}).get(name, "false")
    if text not in ("true", "false"):
        raise InvalidParameter(f"invalid {name} {text!r}: write true or false")
    return text == "true"
