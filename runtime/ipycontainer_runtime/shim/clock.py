"""Times as Docker writes them: RFC 3339 in UTC with nanoseconds, without final zeros."""

import time

_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def rfc3339(ns: int) -> str:
    """Return nanoseconds since 1970 as Go's RFC3339Nano does."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    if not fraction:
        return text + "Z"
    return f"{text}.{fraction:09d}".rstrip("0") + "Z"


def nanoseconds(text: str) -> int:
    """Return the nanoseconds since 1970 of what `rfc3339` wrote; raises ValueError."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    leaps = year - 1 if month <= 2 else year
    days = (year - 1970) * 365 + leaps // 4 - leaps // 100 + leaps // 400 - 477
    days += _DAYS_BEFORE[month - 1] + day - 1
    seconds = days * 86400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    fraction = text[20:].rstrip("Z")
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)
