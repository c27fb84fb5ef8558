"""After how long a registry is asked again that broke off, or said that it is busy.

The pauses double, unless the registry names its own (Retry-After, RFC 9110 section 10.2.3).
"""

from ipycontainer_runtime.registry.errors import RegistryError

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds that a person waits for a pull without a sign of life; a longer wish ends the pull."""


def pause(failures: int, error: Exception) -> float | None:
    """Return the seconds to wait after so many failures in a row; None for more than anybody waits.

    Called between two attempts, on the thread that makes them.
    """
    wished = error.retry_after if isinstance(error, RegistryError) else None
    if wished is None:
        return FIRST_PAUSE * 2.0 ** (failures - 1)
    return wished if wished <= LONGEST_PAUSE else None
