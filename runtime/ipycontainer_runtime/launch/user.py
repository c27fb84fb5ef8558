"""Who the container's process becomes: Docker's `user[:group]` by the container's own accounts."""

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ipycontainer_runtime.launch.root import LaunchError
from ipycontainer_runtime.launch.syscalls import openat2

LARGEST_ACCOUNT_FILE = 4 << 20  # bytes of the image's passwd or group file that are read at most
LARGEST_ID = 2**31 - 1  # the range that Docker accepts for users and groups


class User(NamedTuple):
    """Ids inside the container, and the home that the account names."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_user(text: str, extra_groups: Sequence[str] = (), root: str = "/") -> User:
    """Resolve `user[:group]` inside the present root, or another.

    A number needs no account and then has group 0 and home /; a name must be found. Supplementary
    groups are its own, those that list the account unless a group was given, and `extra_groups`;
    never the host's. Raises LaunchError for what is neither a decimal id in range nor a known name.
    """
    name, _, group = text.partition(":")
    name = name or "0"
    number = _decimal(name)
    uid, gid, home, account = number, 0, "/", None
    for fields in _entries(root, "/etc/passwd", 6):
        if fields[0] == name or (number is not None and fields[2] == str(number)):
            account, home = fields[0], fields[5]
            uid, gid = int(fields[2]), int(fields[3]) if _is_id(fields[3]) else 0
            break
    if uid is None:
        raise LaunchError(f"unable to find user {name}: no matching entries in passwd file")
    members: list[int] = []
    if group:
        gid = _find_group(root, group)
    elif account is not None:
        listed = (f for f in _entries(root, "/etc/group", 4) if account in f[3].split(","))
        members = [int(fields[2]) for fields in listed]
    # With its own group among them, giving that up cannot get round a file's "not this group"
    # (CVE-2022-36109).
    groups = [gid, *members, *(_find_group(root, extra) for extra in extra_groups)]
    return User(uid, gid, tuple(dict.fromkeys(groups)), home or "/")


def _find_group(root: str, text: str) -> int:
    number = _decimal(text)
    for fields in _entries(root, "/etc/group", 3):
        if fields[0] == text:
            return int(fields[2])
    if number is None:
        raise LaunchError(f"unable to find group {text}: no matching entries in group file")
    return number


def _decimal(text: str) -> int | None:
    """Return a decimal id, or None for a name; no sign, space or prefix makes a name a number."""
    if not (text.isascii() and text.isdigit()):
        return None
    if not _is_id(text):
        raise LaunchError(f"invalid user or group id {text}: ids must be in range 0-{LARGEST_ID}")
    return int(text)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_ID


def _entries(top: str, path: str, fewest: int) -> Iterator[list[str]]:
    """Yield the fields of each line that has enough of them and a valid id in the third.

    The image is not trusted: a FIFO never blocks, a symlink stays inside, the size is bounded.
    """
    root = os.open(top, os.O_PATH | os.O_CLOEXEC)
    try:
        fd = openat2(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return
    finally:
        os.close(root)
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        # The kernel's own files have no size, and reading some of them takes what others wait for:
        # /etc/passwd may be a link to /proc/kmsg.
        if not stat.S_ISREG(found.st_mode) or not found.st_size:
            return
        if found.st_size > LARGEST_ACCOUNT_FILE:
            raise LaunchError(
                f"{path} of the image has {found.st_size} bytes; at most 4 MiB are read"
            )
        content = file.read(LARGEST_ACCOUNT_FILE)
    # By "\n" alone, as C libraries read it: others would find an account in part of a name.
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) >= fewest and _is_id(fields[2]):
            yield fields
