"""Signal names and numbers as Docker takes them."""

import signal

from ipycontainer_runtime.errors import InvalidParameter

_NAMES = {
    name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()
}
_NAMES |= {f"RTMIN+{n}": signal.SIGRTMIN + n for n in range(1, 16)}
_NAMES |= {f"RTMAX-{n}": signal.SIGRTMAX - n for n in range(1, 15)}


def signal_number(name: str, default: int) -> int:
    """Return the number of `KILL`, `SIGKILL`, `kill` or `9`; the default when there is no name."""
    if not name:
        return default
    if name.isdecimal():
        if len(name) < 4 and 1 <= (number := int(name)) <= signal.SIGRTMAX:
            return number
    elif number := _NAMES.get(name.upper().removeprefix("SIG"), 0):
        return number
    raise InvalidParameter(f"Invalid signal: {name}")
