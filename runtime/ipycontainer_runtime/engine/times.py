"""Instants and durations as the Engine API writes and reads them."""

import re
import time
from datetime import datetime, timezone

from ipycontainer_runtime.errors import InvalidParameter

_SECOND = 1_000_000_000
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+")
_FRACTION = re.compile(r"[.,](\d+)")


def rfc3339(ns: int) -> str:
    """Return nanoseconds since 1970 as `2024-05-01T12:00:00.123456789Z`."""
    seconds, fraction = divmod(ns, _SECOND)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def rfc3339_fixed(ns: int) -> str:
    """Return nanoseconds since 1970 with all nine digits, so that the lines of a log align."""
    seconds, fraction = divmod(ns, _SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def parse_rfc3339(text: str) -> int:
    """Return an RFC 3339 instant in nanoseconds since 1970; ValueError when it is not one."""
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text).replace("Z", "+00:00").replace("z", "+00:00")
    moment = datetime.fromisoformat(whole)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    digits = (fraction[1] if fraction else "0").ljust(9, "0")[:9]
    return int(moment.timestamp()) * _SECOND + int(digits)


def parse_instant(text: str, field: str) -> int | None:
    """Return a query's instant in nanoseconds: seconds since 1970, `seconds.nanoseconds`, RFC 3339.

    None when nothing is given; 0 is nothing as well, as the docker command and docker-py send it.
    """
    if text in ("", "0"):
        return None
    seconds, _, fraction = text.partition(".")
    try:
        if seconds.lstrip("-").isdecimal() and (fraction.isdecimal() or not fraction):
            return int(seconds) * _SECOND + int(fraction.ljust(9, "0")[:9])
        return parse_rfc3339(text)
    except ValueError:
        raise InvalidParameter(
            f'invalid {field} "{text}": seconds since 1970 or an RFC 3339 time is wanted'
        ) from None


def parse_age(text: str, field: str) -> int | None:
    """Return an instant that may be given as a duration back from now too: `24h`, `1h30m`."""
    if _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        return time.time_ns() - int(seconds * _SECOND)
    return parse_instant(text, field)


def source_date_epoch(text: str) -> str:
    """Return SOURCE_DATE_EPOCH, seconds since 1970, as an RFC 3339 instant; nothing for nothing.

    https://reproducible-builds.org/docs/source-date-epoch/
    """
    if not text:
        return ""
    try:
        return rfc3339(int(text) * _SECOND)
    except (ValueError, OverflowError, OSError):
        raise InvalidParameter(
            f"SOURCE_DATE_EPOCH={text!r} is no time: give seconds since 1970, as `date +%s` does"
        ) from None


def human_duration(seconds: float) -> str:
    """Return a duration in words, as `docker ps` shows it (docker/go-units, HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    words = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < 60, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 14, f"{hours // 24} days"),
        (hours < 24 * 60, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 730, f"{hours // 24 // 30} months"),
        (True, f"{hours // 24 // 365} years"),
    )
    return next(text for fits, text in words if fits)
