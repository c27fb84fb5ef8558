"""The places that a RUN's mounts are put on, where the step's root has none: gone afterwards."""

import contextlib
import os
import posixpath
import stat
from collections.abc import Sequence
from pathlib import Path

from ipycontainer_runtime.launch.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from ipycontainer_runtime.layers.merged import look_up
from ipycontainer_runtime.layers.upper import is_opaque
from ipycontainer_runtime.layers.view import View

_AS_IT_IS = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
Points = list[list[str]]
"""For each mount the paths that will be made for it, innermost first, relative to the root."""


def find_points(view: View, targets: Sequence[str]) -> Points:
    """Return what the launcher will make so that it can mount at `targets`."""
    return [points for target in targets if (points := _missing(view, target))]


def _missing(view: View, target: str) -> list[str]:
    folder, names = target, list[str]()
    while True:
        try:
            descriptor = openat2(view.fd, folder, os.O_PATH)
        except FileNotFoundError:
            folder, name = posixpath.split(folder)
            names.insert(0, name)
            continue
        except OSError:
            return []  # the launcher will say what is wrong with it
        break
    try:
        real = view.name(descriptor).strip("/")
    finally:
        os.close(descriptor)
    paths = [posixpath.join(real, *names[: count + 1]) for count in range(len(names))]
    # What is above was there; it is copied up when something is made in it.
    above = real.split("/") if real else []
    kept = ["/".join(above[:count]) for count in range(len(above), 0, -1)]
    return [*reversed(paths), *(kept if names else ())]


def take_away(upper: Path, lowers: Sequence[Path], prefix: bytes, points: Points) -> None:
    """Remove empty mount points from a step's upper folder, and copies of folders above them."""
    for paths in points:
        for path in paths:
            if not _removed(upper, path, lowers, prefix):
                break


def _removed(upper: Path, path: str, lowers: Sequence[Path], prefix: bytes) -> bool:
    """Remove one path if nothing is in it but what the mount needed; False to keep those above.

    The step may have put a symlink anywhere in its place: none is followed (CVE-2024-23652).
    """
    folder, leaf = posixpath.split(path)
    root = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parent = openat2(root, folder or "/", os.O_RDONLY | os.O_DIRECTORY, _AS_IT_IS)
    except FileNotFoundError:
        return True  # it was not needed
    except OSError:
        return False  # the step made something else of a folder above
    finally:
        os.close(root)
    try:
        return _removed_from(parent, leaf, _below(path, lowers, prefix), prefix)
    finally:
        os.close(parent)


def _removed_from(parent: int, leaf: str, below: os.stat_result | None, prefix: bytes) -> bool:
    try:
        found = os.lstat(leaf, dir_fd=parent)
    except OSError:
        return True  # it was not needed
    if stat.S_ISREG(found.st_mode):
        if found.st_size or below is not None:
            return False
        os.unlink(leaf, dir_fd=parent)
        return True
    whole = os.fsencode(f"/proc/self/fd/{parent}/{leaf}")
    if not stat.S_ISDIR(found.st_mode) or is_opaque(whole, prefix):
        return False
    if below is not None:
        same = (below.st_mode, below.st_uid, below.st_gid)
        if same != (found.st_mode, found.st_uid, found.st_gid):
            return False
    with contextlib.suppress(OSError):  # the step put something there
        os.rmdir(leaf, dir_fd=parent)
        return True
    return False


def _below(path: str, lowers: Sequence[Path], prefix: bytes) -> os.stat_result | None:
    folders: Sequence[bytes] = [os.fsencode(lower) for lower in lowers]
    status: os.stat_result | None = None
    for name in path.split("/"):
        shown = look_up(folders, os.fsencode(name), prefix)
        status, folders = shown.status, shown.folders
        if status is None:
            return None
    return status
