"""HostConfig's Binds, Mounts and Tmpfs, and an image's VOLUMEs, as mount points.

Pure: the grammar is that of Docker's engine (its `volume/mounts` package), with its messages. What
is wrong is InvalidParameter, also where Docker's engine answers 500.
"""

import posixpath
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.store.records import Config, HostConfig, MountPoint

PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_KINDS = (
    frozenset(("ro", "rw")),
    frozenset(("z", "Z")),  # SELinux's relabelling: nothing, as on a Docker without it
    frozenset(PROPAGATIONS),
    frozenset(("nocopy",)),
    frozenset(("consistent", "cached", "delegated")),  # of macOS
)
"""The words of a mode; there may be one of each kind."""


class Asked(NamedTuple):
    """One mount point, and of its volume what is wanted if it has to be made."""

    point: MountPoint
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class VolumesFrom(NamedTuple):
    """Another container, whose volumes and binds are mounted too."""

    container: str
    writable: bool


def asked(host: HostConfig) -> dict[str, Asked]:
    """Return what HostConfig mounts by its place: Binds, Mounts and Tmpfs.

    No two may be at one place, but that Tmpfs goes before a tmpfs of Mounts.
    """
    found: dict[str, Asked] = {}
    tmpfs = {one.point.destination: one for one in _tmpfs(host)}
    for bind in host.binds or ():
        one = _bind(bind, host.volume_driver)
        _add(found, one)
        if one.point.destination in tmpfs:
            raise InvalidParameter(f"Duplicate mount point: {one.point.destination}")
    for mount in host.mounts or ():
        if not isinstance(mount, dict):
            raise InvalidParameter(f"invalid mount config: {mount!r}: an object is wanted")
        _add(found, _mount(mount))
    return {**found, **tmpfs}


def in_order(points: Iterable[MountPoint]) -> list[MountPoint]:
    """Return mount points as they are to be mounted: what is in another one comes after it."""
    return sorted(points, key=lambda point: point.destination.count("/"))


def _add(found: dict[str, Asked], one: Asked) -> None:
    if one.point.destination in found:
        raise InvalidParameter(f"Duplicate mount point: {one.point.destination}")
    found[one.point.destination] = one


def volumes_from(host: HostConfig) -> Iterator[VolumesFrom]:
    """Yield the containers of HostConfig.VolumesFrom: `ID[:ro|rw]`."""
    for written in host.volumes_from or ():
        container, colon, mode = written.partition(":")
        if not container:
            raise InvalidParameter("volumes-from specification cannot be an empty string")
        words = _words(mode) if colon else ()
        # For consistency with Docker: a mount's propagation and filling are the other container's.
        if any(word == "nocopy" or word in PROPAGATIONS for word in words):
            raise InvalidParameter(f"invalid mode: {mode}")
        yield VolumesFrom(container, "ro" not in words)


def of_image(config: Config, driver: str) -> list[MountPoint]:
    """Return the anonymous volumes of Config.Volumes: the image's, and those of `-v DIR`."""
    points = []
    for path in config.volumes or ():
        destination = _not_root(posixpath.normpath(f"/{path.lstrip('/')}"))
        points.append(
            MountPoint(type="volume", destination=destination, driver=driver, copies=True)
        )
    return points


def _words(mode: str) -> list[str]:
    """Return the words of a mode such as `ro,z`; InvalidParameter for one that Docker refuses."""
    words = mode.split(",") if mode else []
    for kind in _KINDS:
        if sum(word in kind for word in words) > 1:
            raise InvalidParameter(f"invalid mode: {mode}")
    if any(not any(word in kind for kind in _KINDS) for word in words):
        raise InvalidParameter(f"invalid mode: {mode}")
    return words


def _is_mode(text: str) -> bool:
    try:
        _words(text)
    except InvalidParameter:
        return False
    return True


def _bind(written: str, driver: str) -> Asked:
    """Read one of Binds: `[SOURCE:]DESTINATION[:MODE]`, the source a path or a volume's name."""
    refusal = f"invalid volume specification: '{written}'"
    parts = written.split(":")
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and _is_mode(parts[1])):
        raise InvalidParameter(refusal)
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    mode = parts[2] if len(parts) == 3 else ""
    words = _words(mode)
    of_host = source.startswith("/")
    kind = "bind" if of_host else "volume"
    try:
        destination = _destination(kind, target)
    except InvalidParameter as error:
        raise InvalidParameter(f"{refusal}: {error}") from error
    spread = next((word for word in words if word in PROPAGATIONS), "")
    if spread and not of_host:
        raise InvalidParameter(
            f'{refusal}: invalid mount config for type "volume": '
            "field BindOptions must not be specified"
        )
    point = MountPoint(
        type=kind,
        destination=destination,
        source=posixpath.normpath(source) if of_host else "",
        mode=mode,
        writable="ro" not in words,
    )
    if of_host:
        point.propagation, point.makes = spread or "rprivate", True
    else:
        point.name, point.driver, point.named = source, driver, bool(source)
        point.copies = "nocopy" not in words
    return Asked(point)


def _mount(mount: dict[str, Any]) -> Asked:
    kind = mount.get("Type") or ""
    destination = _destination(kind, mount.get("Target") or "")
    reader = {"bind": _bind_mount, "volume": _volume_mount, "tmpfs": _tmpfs_mount}.get(kind)
    if reader is None:
        if kind in ("image", "cluster", "npipe"):
            raise NotImplementedHere(
                f'HostConfig.Mounts of type "{kind}" is not supported: use bind, volume or tmpfs'
            )
        raise _invalid(kind, "mount type unknown")
    for other in ("bind", "volume", "tmpfs", "image"):
        field = f"{other.capitalize()}Options"
        if other != kind and mount.get(field) is not None:
            raise _invalid(kind, f"field {field} must not be specified")
    options = mount.get(f"{kind.capitalize()}Options") or {}
    if not isinstance(options, dict):
        raise _invalid(kind, f"field {kind.capitalize()}Options must be an object")
    return reader(mount, destination, options)


def _bind_mount(mount: dict[str, Any], destination: str, options: dict[str, Any]) -> Asked:
    source = mount.get("Source") or ""
    if not source:
        raise _invalid("bind", "field Source must not be empty")
    if not source.startswith("/"):
        raise _invalid("bind", f"invalid mount path: '{source}' mount path must be absolute")
    propagation = options.get("Propagation") or "rprivate"
    if propagation not in PROPAGATIONS:
        raise _invalid("bind", f"invalid propagation mode: {propagation}")
    writable = not mount.get("ReadOnly")
    top_only, forced = (
        bool(options.get(f"ReadOnly{which}")) for which in ("NonRecursive", "ForceRecursive")
    )
    if (top_only or forced) and writable:
        raise _invalid("bind", "ReadOnlyNonRecursive and ReadOnlyForceRecursive want ReadOnly")
    if top_only and forced:
        raise _invalid("bind", "ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other")
    if forced and propagation != "rprivate":
        raise _invalid("bind", "ReadOnlyForceRecursive wants the propagation rprivate")
    point = MountPoint(
        type="bind",
        destination=destination,
        source=posixpath.normpath(source),
        writable=writable,
        propagation=propagation,
        recursive=not options.get("NonRecursive"),
        top_only=top_only,
        makes=bool(options.get("CreateMountpoint")),
    )
    return Asked(point)


def _volume_mount(mount: dict[str, Any], destination: str, options: dict[str, Any]) -> Asked:
    name, subpath = mount.get("Source") or "", options.get("Subpath") or ""
    if subpath and not name:
        raise _invalid("volume", "must not set Subpath when using anonymous volumes")
    if subpath and not _is_local(subpath):
        raise _invalid("volume", "subpath must be a relative path within the volume")
    if mount.get("ReadOnly") and not name:
        raise _invalid("volume", "must not set ReadOnly mode when using anonymous volumes")
    driver = options.get("DriverConfig") or {}
    point = MountPoint(
        type="volume",
        destination=destination,
        name=name,
        driver=driver.get("Name") or "",
        writable=not mount.get("ReadOnly"),
        subpath=posixpath.normpath(subpath) if subpath else "",
        # Filled from the image at the whole volume's place, not at a part of it.
        copies=not options.get("NoCopy") and not subpath,
        named=bool(name),
    )
    return Asked(point, driver.get("Options") or None, options.get("Labels") or None)


def _tmpfs_mount(mount: dict[str, Any], destination: str, options: dict[str, Any]) -> Asked:
    if mount.get("Source"):
        raise _invalid("tmpfs", "field Source must not be specified")
    size, mode = options.get("SizeBytes") or 0, options.get("Mode") or 0
    if not (isinstance(size, int) and isinstance(mode, int)) or size < 0 or not 0 <= mode < 1 << 32:
        raise _invalid("tmpfs", f"invalid TmpfsOptions: SizeBytes {size!r}, Mode {mode!r}")
    words = [f"mode={mode:o}"] if mode else []
    words += [f"size={size}"] if size else []
    for option in options.get("Options") or ():
        if option not in (["exec"], ["noexec"]):
            raise _invalid("tmpfs", f"invalid option: {option!r}: use exec or noexec")
        words += option
    writable = not mount.get("ReadOnly")
    if not writable:
        words.append("ro")
    return Asked(
        MountPoint(type="tmpfs", destination=destination, options=words, writable=writable)
    )


def _tmpfs(host: HostConfig) -> Iterator[Asked]:
    for path, written in (host.tmpfs or {}).items():
        yield Asked(
            MountPoint(
                type="tmpfs",
                destination=_destination("tmpfs", path),
                options=written.split(",") if written else [],
                hidden=True,
            )
        )


def _is_local(path: str) -> bool:
    """Tell whether a path stays, as it is written, below its start: Go's filepath.IsLocal."""
    clean = posixpath.normpath(path)
    return not path.startswith("/") and clean != ".." and not clean.startswith("../")


def _destination(kind: str, path: str) -> str:
    if not path:
        raise _invalid(kind, "field Target must not be empty")
    if not path.startswith("/"):
        raise _invalid(kind, f"invalid mount path: '{path}' mount path must be absolute")
    try:
        return _not_root(posixpath.normpath(path))
    except InvalidParameter as error:
        raise _invalid(kind, str(error)) from error


def _not_root(clean: str) -> str:
    if clean in ("/", "//"):
        raise InvalidParameter("invalid specification: destination can't be '/'")
    return f"/{clean.lstrip('/')}"


def _invalid(kind: str, why: str) -> InvalidParameter:
    return InvalidParameter(f'invalid mount config for type "{kind}": {why}')
