"""What /proc tells of the file systems that are mounted."""

import re
from typing import NamedTuple

_ESCAPED = re.compile(r"\\([0-7]{3})")  # a space, tab, line break or backslash in a path


def filesystem(path: str) -> str:
    """Return the type of the file system under `path`; the longest mount point wins."""
    best, kind = "", "unknown"
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            _source, target, found, *_rest = line.split(" ")
            inside = path == target or path.startswith(target.rstrip("/") + "/")
            if inside and len(target) >= len(best):
                best, kind = target, found
    return kind


class Spread(NamedTuple):
    """How the mount that a path is on passes on what is mounted in it."""

    point: str
    """Where it is mounted."""
    shared: bool
    slave: bool


def spreads(path: str) -> Spread:
    """Return the propagation of the mount that a path without symlinks is on.

    The last of several at one point counts: proc(5), mountinfo.
    """
    best = Spread("/", shared=False, slave=False)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            fields = line.split(" ")
            point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
            if path == point or path.startswith(point.rstrip("/") + "/"):
                tags = fields[6 : fields.index("-")]
                if len(point) >= len(best.point):
                    best = Spread(
                        point,
                        shared=any(tag.startswith("shared:") for tag in tags),
                        slave=any(tag.startswith("master:") for tag in tags),
                    )
    return best
