"""What a person may mount into a container: folders of the host, and tmpfs.

Named volumes come with volumes; until then a bind's source is an absolute path.
"""

import os
import posixpath
from collections.abc import Sequence
from typing import Any, NamedTuple

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.oci.runtime import Mount
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.records import HostConfig

_PROPAGATION = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_IGNORED = ("z", "Z", "consistent", "cached", "delegated")
"""SELinux relabelling and macOS caching: without meaning here, as on a Docker without them."""
_TMPFS_FLAGS = ("noexec", "nosuid", "nodev")


class BindPoint(NamedTuple):
    """One folder or file of the host at a place in the container."""

    source: str
    destination: str
    writable: bool
    mode: str
    """The options as they were written; inspect shows them."""
    propagation: str

    def mount(self) -> Mount:
        """Return what the launcher mounts: the source as its symlinks lead now."""
        options = ("rbind", self.propagation, *(() if self.writable else ("ro",)))
        return Mount("bind", os.path.realpath(self.source), self.destination, options)


class TmpfsPoint(NamedTuple):
    """One tmpfs at a place in the container."""

    destination: str
    options: list[str]

    def mount(self) -> Mount:
        """Return what the launcher mounts; the flags are Docker's, unless `exec` lifts one."""
        flags = [flag for flag in _TMPFS_FLAGS if flag[2:] not in self.options]
        given = [option for option in self.options if option != "exec"]
        return Mount("tmpfs", "tmpfs", self.destination, (*flags, *given))


class Placed(NamedTuple):
    """What the launcher makes of a container's mounts."""

    mounts: list[Mount]
    hidden: list[str]
    """Paths of the container that would show the engine's own folders."""


def points(host: HostConfig) -> list[BindPoint | TmpfsPoint]:
    """Return what HostConfig asks to mount (Binds, Mounts, Tmpfs), or refuse it by name."""
    found: list[BindPoint | TmpfsPoint] = [_parse_bind(bind) for bind in host.binds or ()]
    found += [_parse_mount(mount) for mount in host.mounts or ()]
    for path, options in (host.tmpfs or {}).items():
        found.append(TmpfsPoint(_destination(path, path), options.split(",") if options else []))
    seen: set[str] = set()
    for point in found:
        if point.destination in seen:
            raise InvalidParameter(f"Duplicate mount point: {point.destination}")
        seen.add(point.destination)
    return sorted(found, key=lambda point: point.destination.count("/"))


def place(host: HostConfig, paths: Paths) -> Placed:
    """Return what is to be mounted, every source looked at as it is now.

    Called at creation, so that a mount that cannot be is refused, and at each start, before which
    a source may have become another. A bind's missing source is made, as Docker does.
    """
    placed = Placed([], [])
    if not (asked := points(host)):
        return placed
    given_as_bind = {bind.partition(":")[0] for bind in host.binds or ()}
    own = [os.path.realpath(folder) for folder in paths]
    for point in asked:
        mount = point.mount()
        placed.mounts.append(mount)
        if isinstance(point, BindPoint):
            _refuse_own(point.source, mount.source, own)
            _exist(point.source, mount.source, make=point.source in given_as_bind)
            placed.hidden.extend(_within(mount, own))
    return placed


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


def _refuse_own(source: str, real: str, own: Sequence[str]) -> None:
    """A container that writes the engine's own files would own the engine."""
    for folder in own:
        if os.path.commonpath([real, folder]) == folder:
            raise InvalidParameter(
                f"bind source {source} belongs to the engine, which keeps {folder} to itself: "
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


def _destination(path: str, written: str) -> str:
    clean = posixpath.normpath(path)
    if not path.startswith("/"):
        raise InvalidParameter(
            f"invalid volume specification: '{written}': mount path must be absolute"
        )
    if clean in ("/", "//"):
        raise InvalidParameter(
            f"invalid volume specification: '{written}': destination can't be '/'"
        )
    return clean


def _parse_bind(written: str) -> BindPoint:
    parts = written.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise InvalidParameter(f"invalid volume specification: '{written}'")
    source, mode = parts[0], parts[2] if len(parts) == 3 else ""
    if not source.startswith("/"):
        raise NotImplementedHere(
            f"the named volume {source} in HostConfig.Binds is not supported yet: "
            "give an absolute path of the host"
        )
    propagation, writable = "rprivate", True
    for word in filter(None, mode.split(",")):
        if word in ("ro", "rw"):
            writable = word == "rw"
        elif word in _PROPAGATION:
            propagation = word
        elif word not in _IGNORED:
            raise InvalidParameter(f"invalid mode: {mode}")
    return BindPoint(
        posixpath.normpath(source), _destination(parts[1], written), writable, mode, propagation
    )


def _parse_mount(mount: dict[str, Any]) -> BindPoint | TmpfsPoint:
    kind, target = mount.get("Type") or "", mount.get("Target") or ""
    destination = _destination(target, target)
    if kind == "tmpfs":
        given = mount.get("TmpfsOptions") or {}
        options = [f"size={given['SizeBytes']}"] if given.get("SizeBytes") else []
        options += [f"mode={given['Mode']:o}"] if given.get("Mode") else []
        return TmpfsPoint(destination, options)
    if kind != "bind":
        raise NotImplementedHere(
            f'HostConfig.Mounts of type "{kind}" is not supported yet: use bind or tmpfs'
        )
    source = mount.get("Source") or ""
    if not source.startswith("/"):
        raise InvalidParameter(
            f"invalid mount config for type \"bind\": invalid mount path: '{source}' "
            "mount path must be absolute"
        )
    propagation = (mount.get("BindOptions") or {}).get("Propagation") or "rprivate"
    if propagation not in _PROPAGATION:
        raise InvalidParameter(f"invalid propagation mode: {propagation}")
    return BindPoint(
        posixpath.normpath(source), destination, not mount.get("ReadOnly"), "", propagation
    )
