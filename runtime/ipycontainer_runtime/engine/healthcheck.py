"""What a container's health check is: its bounds, its times, its command.

Times, counts and words are Docker's: https://docs.docker.com/reference/dockerfile/#healthcheck
"""

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.model import Healthcheck
from ipycontainer_runtime.store.records import Config

_SHORTEST = 1_000_000
"""Nanoseconds; Docker refuses shorter times."""
_DEFAULT_SHELL = ["/bin/sh", "-c"]


def check_healthcheck(check: Healthcheck | None) -> None:
    """Refuse times and counts that mean nothing, in Docker's words."""
    if check is None:
        return
    named = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    for name, value in named.items():
        if value and value < _SHORTEST:
            raise InvalidParameter(f"{name} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")


def probe_command(config: Config) -> list[str] | None:
    """Return the words that a probe runs, None for a container that has no health check."""
    test = (config.healthcheck.test if config.healthcheck else None) or []
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        return None
    if test[0] == "CMD":
        return test[1:]
    return [*(config.shell or _DEFAULT_SHELL), " ".join(test[1:])]
