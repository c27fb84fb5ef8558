"""Rootless: a user and mount namespace entered once, pinned, and rejoined by later engines."""

import os
from pathlib import Path
from typing import NamedTuple


class IdRange(NamedTuple):
    """`size` ids beginning with `inside` in the namespace are those from `outside` out of it."""

    inside: int
    outside: int
    size: int


class IdMap(NamedTuple):
    """How ids in our user namespace become ids of the machine."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    rootless: bool


def enter(run: Path) -> IdMap:
    """Make sure that this process is 0:0 with a range of ids, and return how they map.

    Called by the engine before it starts a thread or opens the store. Root stays where it is.
    An ordinary user's process enters the user and mount namespace pinned under `run`, or makes
    and pins one with newuidmap and newgidmap. Raises Unavailable, with the cure, where that is
    not allowed.
    """
    raise NotImplementedError


def release(run: Path) -> None:
    """End the process that pins the namespace; called by an engine that leaves no container."""
    raise NotImplementedError


def must_enter() -> bool:
    """Tell whether this process needs `enter` to have more than one id."""
    return os.geteuid() != 0
