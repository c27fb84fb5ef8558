"""Sizes, times and durations, written and read as the `docker` command does."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

from .failures import Usage

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(h|ms|m|s))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def _scaled(size: float, base: int, names: tuple[str, ...], digits: int) -> str:
    step = 0
    while size >= base and step < len(names) - 1:
        size /= base
        step += 1
    return f"{size:.{digits}g}{names[step]}"


def decimal_size(size: float, digits: int = 3) -> str:
    """Write bytes in powers of 1000, as image and transfer sizes are: `77.1MB`."""
    return _scaled(size, 1000, _DECIMAL, digits)


def binary_size(size: float) -> str:
    """Write bytes in powers of 1024, as memory limits are: `64MiB`."""
    return _scaled(size, 1024, _BINARY, 4)


def ago(timestamp: float, now: float | None = None) -> str:
    """Write how long ago a Unix time was, roughly: `About an hour ago`."""
    return f"{duration((time.time() if now is None else now) - timestamp)} ago"


def duration(seconds: float) -> str:
    """Write a duration in its largest unit, with the thresholds of the `docker` command."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return f"{whole} second{'s' * (whole != 1)}"
    minutes, hours = whole // 60, round(whole / 3600)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, length, unit in ((24 * 14, 24, "days"), (24 * 60, 168, "weeks")):
        if hours < limit:
            return f"{hours // length} {unit}"
    return f"{hours // 720} months" if hours < 24 * 730 else f"{hours // 8760} years"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Docker writes it: `30s`, `1m30s`, `500ms`."""
    if not _DURATION.fullmatch(text):
        raise Usage(f"{text!r} is no duration; write 30s, 1m30s or 500ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def instant(text: str) -> float:
    """Return the Unix time that `text` names: seconds, RFC 3339, or a duration back from now.

    Raises `Usage` for anything else.
    """
    try:
        return float(text)
    except ValueError:
        pass
    if _DURATION.fullmatch(text):
        return time.time() - parse_duration(text)
    try:
        # Python 3.10 reads neither a Z nor nanoseconds.
        return parse_time(text)
    except ValueError as error:
        raise Usage(f"{text!r} is no time; write 10m, 1700000000 or 2026-01-31T12:00:00") from error


def parse_time(text: str) -> float:
    """Return the Unix time of an RFC 3339 text as the Engine API writes it; no zone means local."""
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text.strip()).replace("Z", "+00:00")
    trimmed = re.sub(r"\.(\d{1,5})(?=[+-]|$)", lambda m: "." + m[1].ljust(6, "0"), trimmed)
    return datetime.fromisoformat(trimmed).timestamp()


def local_time(timestamp: float) -> str:
    """Write a Unix time as the `docker` command's tables do: `2026-01-31 12:00:00 +0000 UTC`."""
    moment = datetime.fromtimestamp(timestamp, timezone.utc).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 container`, `2 containers`; `many` where it is not -s."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
