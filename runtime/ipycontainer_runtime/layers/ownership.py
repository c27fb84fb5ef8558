"""How an id in an image becomes an id on disk, and back.

An image's files belong to ids of the container. Where the engine is root, or root of a user
namespace with a range of ids, those are the engine's own ids as well: the kernel maps them. On a
machine that grants a single id every file has it, and the image's ids are kept beside the files.
"""

import errno
import os
from typing import Protocol

RECORD = b"user.ipycontainer.owner"
"""The xattr with an image's ids, `UID:GID`, of a file or folder; no archive's own is believed."""

NOBODY = 65534
"""Who owns what belongs to no id of a user namespace: /proc/sys/kernel/overflowuid."""

_NOT_THERE = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)


class Ownership(Protocol):
    """The seam: unpacking asks it for every entry, packing for every file."""

    name: str
    """How `info` calls it."""
    devices: bool
    """Whether device nodes can be made."""
    overlay_prefix: bytes
    """The namespace of xattrs in which overlay keeps its marks: `trusted.` or `user.`."""
    reach: int
    """Mode bits that a file or folder needs until it is whole, where we are not root."""

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the ids a file of an image gets on disk."""
        ...

    def record(self, file: int, uid: int, gid: int) -> None:
        """Keep an image's ids for an open file or folder that has those of `to_disk`."""
        ...

    def from_disk(self, uid: int, gid: int, file: int) -> tuple[int, int]:
        """Return the ids a file on disk has in its image.

        `file` is it, or for what cannot be opened the folder that it is in.
        """
        ...


class Mapped:
    """Ids on disk are those of the image, as the engine sees them in its user namespace."""

    name = "mapped"
    reach = 0

    def __init__(self, *, rootless: bool | None = None) -> None:
        rootless = in_user_namespace() if rootless is None else rootless
        self.devices = not rootless
        # Only a mount with `userxattr` works in a user namespace: trusted.* is for real root.
        self.overlay_prefix = b"user." if rootless else b"trusted."

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the same ids."""
        return uid, gid

    def record(self, file: int, uid: int, gid: int) -> None:
        """Do nothing: the file has the ids."""

    def from_disk(self, uid: int, gid: int, file: int) -> tuple[int, int]:
        """Return the same ids."""
        return uid, gid


class Single:
    """All files have the engine's one id; those of images that are not 0:0 are in an xattr.

    An overlay copies it with what it copies up, so a file that a container changes keeps its ids,
    and what it makes has none: 0:0. The kernel gives no such xattr to a symlink or a pipe: these
    have the ids of their folder.
    """

    name = "single"
    devices = False
    overlay_prefix = b"user."

    def __init__(self, *, rooted: bool = True) -> None:
        """`rooted` says that the engine is root of a namespace, so may write what it may not."""
        self.reach = 0 if rooted else 0o700
        self._ids = (os.geteuid(), os.getegid())

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the engine's ids."""
        return self._ids

    def record(self, file: int, uid: int, gid: int) -> None:
        """Set the xattr; without it a file is 0:0. A file system that has none loses the ids."""
        try:
            if (uid, gid) == (0, 0):
                os.removexattr(file, RECORD)
            else:
                os.setxattr(file, RECORD, b"%d:%d" % (uid, gid))
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise

    def from_disk(self, uid: int, gid: int, file: int) -> tuple[int, int]:
        """Return what the xattr says; a container may write it, as it may own what it makes."""
        try:
            found = os.getxattr(file, RECORD)
        except OSError:
            return 0, 0
        parts = found.split(b":")
        if len(parts) != 2 or not all(part.isdigit() and len(part) < 11 for part in parts):
            return 0, 0
        return int(parts[0]), int(parts[1])


class Shifted:
    """Another ownership, for the files of a container with a range of ids of its own.

    Its layers are shown to it through a mapped mount; what it writes has its own ids on disk.
    """

    def __init__(self, ownership: Ownership, first: int, count: int) -> None:
        self._ownership = ownership
        self._first = first
        self._count = count
        self.name = ownership.name
        self.devices = ownership.devices
        self.overlay_prefix = ownership.overlay_prefix
        self.reach = ownership.reach

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the container's ids; those that it has not are nobody's, as the kernel has it."""
        return self._inward(uid), self._inward(gid)

    def _inward(self, number: int) -> int:
        return self._first + (number if number < self._count else NOBODY)

    def record(self, file: int, uid: int, gid: int) -> None:
        """Do what the other does."""
        self._ownership.record(file, uid, gid)

    def from_disk(self, uid: int, gid: int, file: int) -> tuple[int, int]:
        """Return the ids as the container sees them."""
        return self._outward(uid), self._outward(gid)

    def _outward(self, number: int) -> int:
        within = number - self._first
        return within if 0 <= within < self._count else NOBODY


def in_user_namespace() -> bool:
    """Tell whether this process is in a user namespace other than the machine's first."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() != ["0", "0", "4294967295"] or os.geteuid() != 0
