"""How an id in an image becomes an id on disk, and back.

An image's files belong to ids of the container. Where the engine is root, or root of a user
namespace with a range of ids, those are the engine's own ids as well: the kernel maps them. A
machine that grants a single id needs another backend, which keeps the ids beside the files.
"""

import os
from typing import Protocol


class Ownership(Protocol):
    """The seam: unpacking asks it for every entry, packing for every file."""

    name: str
    """How `info` calls it."""
    devices: bool
    """Whether device nodes can be made."""
    overlay_prefix: bytes
    """The namespace of xattrs in which overlay keeps its marks: `trusted.` or `user.`."""

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the ids a file of an image gets on disk."""
        ...

    def from_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the ids a file on disk has in its image."""
        ...


class Mapped:
    """Ids on disk are those of the image, as the engine sees them in its user namespace."""

    name = "mapped"

    def __init__(self, *, rootless: bool | None = None) -> None:
        rootless = in_user_namespace() if rootless is None else rootless
        self.devices = not rootless
        # Only a mount with `userxattr` works in a user namespace: trusted.* is for real root.
        self.overlay_prefix = b"user." if rootless else b"trusted."

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the same ids."""
        return uid, gid

    def from_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the same ids."""
        return uid, gid


def in_user_namespace() -> bool:
    """Tell whether this process is in a user namespace other than the machine's first."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() != ["0", "0", "4294967295"] or os.geteuid() != 0
