"""Numbers in a Dockerfile: durations, sizes, yes and no, as Go and Docker write them."""

import re

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d{1,20})?(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?|\.\d{1,18}) ?([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS = "bkmgtp"
_LARGEST = 2**63 - 1
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def duration(text: str) -> int:
    """Return the nanoseconds of Go's notation, such as 1m30s; ValueError for anything else."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    at = 0
    while at < len(rest) and total <= _LARGEST:
        match = _PART.match(rest, at)
        if match is None or not (match[1] or match[2]):
            raise ValueError(f'time: invalid duration "{text[:80]}": write it as in 1m30s')
        unit = _NANOSECONDS[match[3]]
        fraction = (match[2] or "")[:18]
        total += int(match[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = match.end()
    if not rest or total > _LARGEST:
        raise ValueError(f'time: invalid duration "{text[:80]}": write it as in 1m30s')
    return -total if text.startswith("-") else total


def size(text: str) -> int:
    """Return the bytes of a size such as 64m or 1.5GiB, in powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid size: '{text[:80]}': write it as in 64m")
    return int(float(match[1]) * 1024 ** max(_UNITS.find(match[2].lower()), 0))


def truth(text: str) -> bool:
    """Return what Go takes for true or false."""
    if text not in _TRUE | _FALSE:
        raise ValueError(f"invalid value {text[:80]}: write true or false")
    return text in _TRUE
