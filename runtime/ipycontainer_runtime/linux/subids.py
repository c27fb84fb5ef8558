"""Which subordinate ids a user may map into a user namespace."""

import pwd
from pathlib import Path
from typing import NamedTuple

SUBUID, SUBGID = Path("/etc/subuid"), Path("/etc/subgid")


class IdRange(NamedTuple):
    """`size` ids beginning with `inside` in the namespace are those from `outside` out of it."""

    inside: int
    outside: int
    size: int


def parse(text: str, user: str, uid: int) -> list[tuple[int, int]]:
    """Return (first, size) of each range that a subuid(5) file gives to this user.

    A line names the user by name or by number; lines that break the format grant nothing, as for
    newuidmap.
    """
    ranges = []
    for line in text.splitlines():
        owner, *numbers = line.split(":")
        if owner in (user, str(uid)) and len(numbers) == 2 and all(map(str.isdigit, numbers)):
            first, size = map(int, numbers)
            if size > 0:
                ranges.append((first, size))
    return ranges


def granted(file: Path, uid: int) -> list[tuple[int, int]]:
    """Return the ranges in `file` for the user `uid`; none when there is no such file."""
    try:
        text = file.read_text("utf-8", "replace")
    except FileNotFoundError:
        return []
    return parse(text, user_name(uid), uid)


def user_name(uid: int) -> str:
    """Return the user's name, or the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def mapping(own: int, ranges: list[tuple[int, int]]) -> list[IdRange]:
    """Map `own` to 0 and the ranges, one after the other, to 1 and up."""
    result, inside = [IdRange(0, own, 1)], 1
    for first, size in ranges:
        result.append(IdRange(inside, first, size))
        inside += size
    return result


def read_map(path: str) -> tuple[IdRange, ...]:
    """Return the ranges of a /proc/PID/uid_map or gid_map."""
    with open(path, encoding="ascii") as file:
        return tuple(IdRange(*map(int, line.split())) for line in file)
