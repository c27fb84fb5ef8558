"""The parts of the OCI runtime spec that the engine composes, and `Mount`, what they all speak.

https://github.com/opencontainers/runtime-spec/blob/main/config.md. Keys are the spec's, so the
dicts are encoded as they are; `ipycontainer` holds what the spec lacks (docs/architecture.md).
"""

from typing import Any, TypedDict

import msgspec


class OverlayOptions(msgspec.Struct, frozen=True):
    """Where an overlay's folders are; `lowerdir` has the uppermost first.

    Without an `upperdir`, and so a `workdir`, it is read-only, and two folders at least lie below.
    `volatile`: nothing written to it has to reach the disk, since it goes with its container.
    `own`: the uppermost of them has the container's own ids already, where it has such.
    """

    lowerdir: tuple[str, ...]
    upperdir: str = ""
    workdir: str = ""
    userxattr: bool = False
    volatile: bool = False
    own: bool = False


class Mount(msgspec.Struct, frozen=True):
    """One mount as snapshots, volumes and the spec give it to the launcher, which alone mounts."""

    type: str
    source: str
    destination: str
    options: tuple[str, ...] | OverlayOptions = ()

    def to_spec(self) -> dict[str, Any]:
        """Return the mount as the runtime spec's JSON has it."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


class User(TypedDict, total=False):
    """Numeric ids inside the container."""

    uid: int
    gid: int
    umask: int
    additionalGids: list[int]


class Capabilities(TypedDict, total=False):
    """Capability names, `CAP_CHOWN` and so on, by set."""

    bounding: list[str]
    effective: list[str]
    permitted: list[str]
    inheritable: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    """One resource limit, `RLIMIT_NOFILE` and so on."""

    type: str
    soft: int
    hard: int


class ConsoleSize(TypedDict):
    """A terminal's size in characters."""

    height: int
    width: int


class Process(TypedDict, total=False):
    """The process that a container runs, or one that is executed in it."""

    terminal: bool
    consoleSize: ConsoleSize
    user: User
    args: list[str]
    env: list[str]
    cwd: str
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int


class Root(TypedDict, total=False):
    """The root file system."""

    path: str
    readonly: bool


class Namespace(TypedDict, total=False):
    """A namespace to make, or with `path` to join."""

    type: str
    path: str


class IdMapping(TypedDict):
    """A range of ids; `containerID` onwards inside is `hostID` onwards outside."""

    containerID: int
    hostID: int
    size: int


class Linux(TypedDict, total=False):
    """The Linux part of a spec."""

    namespaces: list[Namespace]
    uidMappings: list[IdMapping]
    gidMappings: list[IdMapping]
    resources: dict[str, Any]
    cgroupsPath: str
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    rootfsPropagation: str
    devices: list[dict[str, Any]]
    seccomp: dict[str, Any]


class Device(TypedDict):
    """A device of the host at `path` in the container; `type` is c or b."""

    source: str
    path: str
    type: str
    major: int
    minor: int


class IdRange(TypedDict):
    """`count` ids of the machine from `first` on, which are 0 and on in a user namespace."""

    first: int
    count: int


class Extension(TypedDict, total=False):
    """What the spec lacks and the launcher wants (docs/architecture.md, the bundle)."""

    rootfs: list[dict[str, Any]]
    rootfs_path: str
    seccomp: str | None
    user: str
    groups: list[str]
    init: bool
    devices: bool
    host_devices: list[Device]
    loopback: bool
    ids: IdRange | None
    explain: list[str]
    shm: str
    binds_from: str


class Spec(TypedDict, total=False):
    """A bundle's config: the runtime spec and this engine's extension."""

    ociVersion: str
    process: Process
    root: Root
    hostname: str
    domainname: str
    mounts: list[dict[str, Any]]
    annotations: dict[str, str]
    linux: Linux
    ipycontainer: Extension
