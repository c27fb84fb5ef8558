"""From a container's mount points to what the launcher mounts: looked at anew at each start.

A bind's source is a path that its person chose, so one that leads into the engine's own folders is
refused, and masked where a folder above is shown. A volume is asked for by its name alone, which
`engine.volumes` makes a path of, below `volumes/<name>/`; no path of a person's is in it, so it can
name nothing else of the engine's, though it is below the data root. A part of a volume
(`Subpath`) is found by the launcher, beneath the volume by descriptor, since whoever writes to the
volume may put symbolic links there at any time.
"""

import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.launch.plan import TOP_READ_ONLY
from ipycontainer_runtime.linux.mounted import spreads
from ipycontainer_runtime.oci.runtime import Mount
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.records import MountPoint

_TMPFS_FLAGS = ("noexec", "nosuid", "nodev")


class Placed(NamedTuple):
    """What the launcher makes of a container's mounts."""

    mounts: list[Mount]
    hidden: list[str]
    """Paths of the container that would show the engine's own folders."""


NOTHING = Placed([], [])


def place(
    points: Sequence[MountPoint],
    paths: Paths,
    volumes: Mapping[str, str],
    image: Callable[[MountPoint], Mount],
    *,
    mapped: bool = False,
) -> Placed:
    """Return what is to be mounted, every source looked at as it is now.

    Called at creation, so that a mount that cannot be is refused, and at each start, before which
    a source may have become another. `volumes` has the folder of each volume by its name; one that
    is missing there is not mounted; `image` makes the mount of an image. `mapped` says that the
    container has ids of its own, which volumes are shown in.
    """
    if not points:
        return NOTHING
    placed = Placed([], [])
    own = [os.path.realpath(folder) for folder in paths]
    for point in points:
        if point.type == "tmpfs":
            placed.mounts.append(_tmpfs(point))
        elif point.type == "volume":
            if point.name in volumes:
                placed.mounts.append(_volume(point, volumes[point.name], mapped=mapped))
        elif point.type == "image":
            placed.mounts.append(image(point))
        else:
            mount = _bind(point, own)
            placed.mounts.append(mount)
            placed.hidden.extend(_within(mount, own))
    return placed


def _tmpfs(point: MountPoint) -> Mount:
    """Return a tmpfs; the flags are Docker's, unless `exec` lifts one."""
    flags = [flag for flag in _TMPFS_FLAGS if flag[2:] not in point.options]
    given = [option for option in point.options if option != "exec"]
    return Mount("tmpfs", "tmpfs", point.destination, (*flags, *given))


def _volume(point: MountPoint, folder: str, *, mapped: bool) -> Mount:
    options = ["rbind", "rprivate", *(() if point.writable else ("rro",))]
    if mapped:
        options.append("idmap")
    if point.subpath:
        options.append(f"beneath={point.subpath}")
    return Mount("bind", folder, point.destination, tuple(options))


def _bind(point: MountPoint, own: Sequence[str]) -> Mount:
    real = os.path.realpath(point.source)
    refuse_own(f"bind source {point.source}", real, own)
    _exist(point.source, real, make=point.makes)
    _check_spread(point, real)
    shown = "rbind" if point.recursive else "bind"
    closed = () if point.writable else (TOP_READ_ONLY,) if point.top_only else ("rro",)
    return Mount("bind", real, point.destination, (shown, point.propagation, *closed))


def _check_spread(point: MountPoint, real: str) -> None:
    """Refuse a propagation that the source's mount cannot have, as Docker's engine does."""
    wanted = point.propagation.removeprefix("r")
    if wanted not in ("shared", "slave"):
        return
    at, shared, slave = spreads(real)
    if not shared and not (wanted == "slave" and slave):
        kind = "shared" if wanted == "shared" else "shared or slave"
        raise InvalidParameter(
            f"path {point.source} is mounted on {at} but it is not a {kind} mount: "
            f"`mount --make-shared {at}`, or leave {point.propagation} out"
        )


def _exist(source: str, real: str, *, make: bool) -> None:
    if os.path.lexists(real):
        return
    if os.path.lexists(source):
        raise InvalidParameter(
            f"bind source {source} is a symbolic link to {real}, which does not exist: "
            "make it, or mount another folder"
        )
    if not make:
        raise InvalidParameter(
            f'invalid mount config for type "bind": bind source path does not exist: {source}'
        )
    try:
        os.makedirs(real)
    except OSError as error:
        raise InvalidParameter(
            f"error while creating mount source path '{source}': {error.strerror}: "
            "make it, or mount another folder"
        ) from error


def refuse_own(what: str, real: str, own: Sequence[str]) -> None:
    """Refuse a path in one of the engine's own folders: who writes these would own the engine."""
    for folder in own:
        if os.path.commonpath([real, folder]) == folder:
            raise InvalidParameter(
                f"{what} belongs to the engine, which keeps {folder} to itself: "
                "mount another folder"
            )


def _within(mount: Mount, own: Sequence[str]) -> list[str]:
    """Return where the engine's folders would show in a bind of a folder above them.

    `-v /:/host` and `-v $HOME:/work` are what people do, so they are not refused; nor could what
    they show be less than the engine's files unless these are hidden. Read-only would not do: the
    engine's socket takes connections there, and its layers hold what other containers keep secret.
    """
    above = mount.source.rstrip("/") + "/"
    return [
        posixpath.join(mount.destination, folder[len(above) :])
        for folder in own
        if folder.startswith(above)
    ]
