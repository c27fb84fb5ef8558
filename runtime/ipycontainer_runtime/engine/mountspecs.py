"""HostConfig's Binds, Mounts and Tmpfs, and an image's VOLUMEs, as mount points.

Pure: the grammar is that of Docker's engine (its `volume/mounts` package), with its messages. What
is wrong is InvalidParameter, also where Docker's engine answers 500.
"""

import posixpath
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.launch.plan import MOUNT_ATTRIBUTES, PROPAGATION, WORDLESS
from ipycontainer_runtime.store.records import Config, HostConfig, MountPoint

PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_MOST_VOLUMES = 500
_OF_TMPFS = frozenset(("gid", "mode", "mpol", "nr_blocks", "nr_inodes", "size", "uid"))
"""What a tmpfs is made with, tmpfs(5); the rest are flags of mount(8)."""
_FLAGS_OF_TMPFS = frozenset((*MOUNT_ATTRIBUTES, *PROPAGATION, *WORDLESS))
_KINDS = (
    frozenset(("ro", "rw")),
    frozenset(("z", "Z")),  # SELinux's relabelling: nothing, as on a Docker without it
    frozenset(PROPAGATIONS),
    frozenset(("nocopy",)),
    frozenset(("consistent", "cached", "delegated")),  # of macOS
)
"""The words of a mode; there may be one of each kind."""


class _BindOptions(msgspec.Struct, rename="pascal"):
    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class _DriverConfig(msgspec.Struct, rename="pascal"):
    name: str = ""
    options: dict[str, str] | None = None


class _VolumeOptions(msgspec.Struct, rename="pascal"):
    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: _DriverConfig | None = None
    subpath: str = ""


class _TmpfsOptions(msgspec.Struct, rename="pascal"):
    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class _ImageOptions(msgspec.Struct, rename="pascal"):
    subpath: str = ""


class _Mount(msgspec.Struct, rename="pascal"):
    """One of HostConfig.Mounts."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    bind_options: _BindOptions | None = None
    volume_options: _VolumeOptions | None = None
    tmpfs_options: _TmpfsOptions | None = None
    image_options: _ImageOptions | None = None


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
    if len(config.volumes or ()) > _MOST_VOLUMES:
        raise InvalidParameter(
            f"the image, and what was asked for, have {len(config.volumes or ())} volumes: "
            f"{_MOST_VOLUMES} is the most that a container can have"
        )
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


def _mount(given: Any) -> Asked:
    if isinstance(given, dict):  # null is "not given", as in Docker's Go
        given = {name: value for name, value in given.items() if value is not None}
    try:
        mount = msgspec.convert(given, _Mount)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid mount config: {error}") from error
    kind = mount.type
    destination = _destination(kind, mount.target)
    reader = {
        "bind": _bind_mount,
        "image": _image_mount,
        "tmpfs": _tmpfs_mount,
        "volume": _volume_mount,
    }.get(kind)
    if reader is None:
        if kind in ("cluster", "npipe"):
            raise NotImplementedHere(
                f'HostConfig.Mounts of type "{kind}" is not supported: use bind, volume, tmpfs or '
                "image"
            )
        raise _invalid(kind, "mount type unknown")
    for other in ("bind", "volume", "tmpfs", "image"):
        if other != kind and getattr(mount, f"{other}_options") is not None:
            raise _invalid(kind, f"field {other.capitalize()}Options must not be specified")
    return reader(mount, destination)


def _bind_mount(mount: _Mount, destination: str) -> Asked:
    if not mount.source:
        raise _invalid("bind", "field Source must not be empty")
    if not mount.source.startswith("/"):
        raise _invalid("bind", f"invalid mount path: '{mount.source}' mount path must be absolute")
    options = mount.bind_options or _BindOptions()
    propagation = options.propagation or "rprivate"
    if propagation not in PROPAGATIONS:
        raise _invalid("bind", f"invalid propagation mode: {propagation}")
    top_only, forced = options.read_only_non_recursive, options.read_only_force_recursive
    if (top_only or forced) and not mount.read_only:
        raise _invalid("bind", "ReadOnlyNonRecursive and ReadOnlyForceRecursive want ReadOnly")
    if top_only and forced:
        raise _invalid("bind", "ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other")
    if forced and propagation != "rprivate":
        raise _invalid("bind", "ReadOnlyForceRecursive wants the propagation rprivate")
    point = MountPoint(
        type="bind",
        destination=destination,
        source=posixpath.normpath(mount.source),
        writable=not mount.read_only,
        propagation=propagation,
        recursive=not options.non_recursive,
        top_only=top_only,
        makes=options.create_mountpoint,
    )
    return Asked(point)


def _volume_mount(mount: _Mount, destination: str) -> Asked:
    options = mount.volume_options or _VolumeOptions()
    name, subpath = mount.source, options.subpath
    if subpath and not name:
        raise _invalid("volume", "must not set Subpath when using anonymous volumes")
    if subpath and not _is_local(subpath):
        raise _invalid("volume", "subpath must be a relative path within the volume")
    if mount.read_only and not name:
        raise _invalid("volume", "must not set ReadOnly mode when using anonymous volumes")
    driver = options.driver_config or _DriverConfig()
    point = MountPoint(
        type="volume",
        destination=destination,
        name=name,
        driver=driver.name,
        writable=not mount.read_only,
        subpath=posixpath.normpath(subpath) if subpath else "",
        # Filled from the image at the whole volume's place, not at a part of it.
        copies=not options.no_copy and not subpath,
        named=bool(name),
    )
    return Asked(point, driver.options or None, options.labels or None)


def _image_mount(mount: _Mount, destination: str) -> Asked:
    if not mount.source:
        raise _invalid("image", "field Source must not be empty")
    subpath = (mount.image_options or _ImageOptions()).subpath
    if not _is_local(subpath or "."):
        raise _invalid("image", "subpath must be a relative path within the image")
    point = MountPoint(
        type="image",
        destination=destination,
        source=mount.source,
        writable=False,
        subpath=posixpath.normpath(subpath).removeprefix(".") if subpath else "",
    )
    return Asked(point)


def _tmpfs_mount(mount: _Mount, destination: str) -> Asked:
    if mount.source:
        raise _invalid("tmpfs", "field Source must not be specified")
    options = mount.tmpfs_options or _TmpfsOptions()
    size, mode = options.size_bytes, options.mode
    if size < 0 or not 0 <= mode < 1 << 32:
        raise _invalid("tmpfs", f"invalid TmpfsOptions: SizeBytes {size}, Mode {mode}")
    words = [f"mode={mode:o}"] if mode else []
    words += [f"size={size}"] if size else []
    for option in options.options or ():
        if option not in (["exec"], ["noexec"]):
            raise _invalid("tmpfs", f"invalid option: {option!r}: use exec or noexec")
        words += option
    words += ["ro"] if mount.read_only else []
    point = MountPoint(
        type="tmpfs", destination=destination, options=words, writable=not mount.read_only
    )
    return Asked(point)


def _tmpfs(host: HostConfig) -> Iterator[Asked]:
    for path, written in (host.tmpfs or {}).items():
        for option in written.split(",") if written else ():
            _check_tmpfs(option)
        yield Asked(
            MountPoint(
                type="tmpfs",
                destination=_destination("tmpfs", path),
                options=written.split(",") if written else [],
                hidden=True,
            )
        )


def _check_tmpfs(option: str) -> None:
    name, equals, value = option.partition("=")
    if (name in _OF_TMPFS and value) if equals else name in _FLAGS_OF_TMPFS:
        return
    raise InvalidParameter(
        f"Invalid tmpfs option {option[:60]!r}: use {', '.join(sorted(_OF_TMPFS))} with a value, "
        "or a flag of mount(8) such as noexec"
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
