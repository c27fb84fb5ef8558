"""What the engine keeps of one container, in the Engine API's own words and spelling.

`Config` and `HostConfig` are the bodies of the API (versions 1.24 to 1.50), stored as they were
merged at creation, so inspect and commit give them back unchanged. A field that Docker leaves out
of its JSON when it is empty is `UNSET` here, which msgspec leaves out as well.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipycontainer_runtime.oci.model import Healthcheck
from ipycontainer_runtime.store.networks import EndpointSettings

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: what the API says for an instant that has not come."""

Size = Annotated[list[Annotated[int, Meta(ge=0, le=65535)]], Meta(min_length=2, max_length=2)]
"""A terminal's height and width in characters."""

Words = list[str] | str | None
"""Docker takes a lone string where a list of words is meant."""


def words(value: Words) -> list[str] | None:
    """Return the list that a string or a list of words stands for."""
    return [value] if isinstance(value, str) else value


class Config(msgspec.Struct, rename="pascal", kw_only=True):
    """What runs in a container: the part of its configuration that an image can carry."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | UnsetType | None = UNSET
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: Words = None
    healthcheck: Healthcheck | UnsetType | None = UNSET
    args_escaped: bool | UnsetType = UNSET
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: Words = None
    network_disabled: bool | UnsetType = UNSET
    mac_address: str | UnsetType = UNSET
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | UnsetType = UNSET
    stop_timeout: int | UnsetType | None = UNSET
    shell: list[str] | UnsetType | None = UNSET

    @property
    def command(self) -> list[str]:
        """The words that run: the entrypoint, then the command."""
        return [*(words(self.entrypoint) or ()), *(words(self.cmd) or ())]


class LogConfig(msgspec.Struct, rename="pascal"):
    """Which log driver a container uses, with its options."""

    type: str = ""
    config: dict[str, str] | None = None


class RestartPolicy(msgspec.Struct, rename="pascal"):
    """When a container that exits is started again."""

    name: str = ""
    maximum_retry_count: int = 0


class Ulimit(msgspec.Struct, rename="pascal"):
    """One resource limit of the container's processes."""

    name: str
    soft: int = 0
    hard: int = 0


class HostConfig(msgspec.Struct, rename="pascal", kw_only=True):
    """How a container meets its host: limits, mounts, namespaces, privileges."""

    binds: list[str] | None = None
    container_id_file: str = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = msgspec.field(default_factory=LogConfig)
    network_mode: str = "default"
    port_bindings: dict[str, Any] | None = {}
    restart_policy: RestartPolicy = msgspec.field(default_factory=lambda: RestartPolicy("no"))
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: Size | None = msgspec.field(default_factory=lambda: [0, 0])
    annotations: dict[str, str] | UnsetType | None = UNSET
    cap_add: Words = None
    cap_drop: Words = None
    cgroupns_mode: str = ""
    dns: list[str] | None = []
    dns_options: list[str] | None = []
    dns_search: list[str] | None = []
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | UnsetType | None = UNSET
    tmpfs: dict[str, str] | UnsetType | None = UNSET
    uts_mode: str = msgspec.field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | UnsetType | None = UNSET
    runtime: str | None = ""
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[dict[str, Any]] | None = []
    blkio_device_read_bps: list[dict[str, Any]] | None = []
    blkio_device_write_bps: list[dict[str, Any]] | None = []
    blkio_device_read_iops: list[dict[str, Any]] | None = msgspec.field(
        default_factory=list, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[dict[str, Any]] | None = msgspec.field(
        default_factory=list, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[dict[str, str | None]] | None = []
    device_cgroup_rules: list[str] | None = None
    device_requests: list[Any] | None = None
    kernel_memory: int | UnsetType = UNSET
    kernel_memory_tcp: int | UnsetType = msgspec.field(default=UNSET, name="KernelMemoryTCP")
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = False
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = []
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = msgspec.field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = msgspec.field(default=0, name="IOMaximumBandwidth")
    mounts: list[Any] | UnsetType | None = UNSET
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | UnsetType | None = UNSET


_API_NAMES = {field.name: field.encode_name for field in msgspec.structs.fields(HostConfig)}


def api_name(field: str) -> str:
    """Return a field of HostConfig in the API's spelling."""
    return _API_NAMES[field]


class IdRange(msgspec.Struct, frozen=True):
    """The ids of the machine that are 0 to `count` - 1 in a container."""

    first: int
    count: int


class MountPoint(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a person, or an image, has mounted at one place of a container; resolved once."""

    type: str
    """bind, volume, tmpfs or image."""
    destination: str
    """Absolute and normalised."""
    source: str = ""
    """A bind's file or folder of the host; an image's id; where a volume's files were at first."""
    name: str = ""
    """The volume's."""
    driver: str = ""
    """The volume's."""
    mode: str = ""
    """The options as they were written; inspect shows them."""
    writable: bool = True
    propagation: str = ""
    recursive: bool = True
    """Whether what is mounted below a bind's source is shown too."""
    top_only: bool = False
    """Whether a read-only bind leaves what is mounted below it writable."""
    makes: bool = False
    """Whether a bind's missing source is made."""
    subpath: str = ""
    """The part of the volume, or of the image, that is shown."""
    chain: list[str] = []
    """The layers of an image, by chain id, lowest first."""
    copies: bool = False
    """Whether an empty volume is filled with what the image has there."""
    named: bool = False
    """Whether a person named the volume, so that it stays when the container is removed."""
    options: list[str] = []
    """A tmpfs's."""
    hidden: bool = False
    """Whether inspect leaves it out, as it does HostConfig.Tmpfs."""


class Record(msgspec.Struct, kw_only=True):
    """What was asked for: `config.json`, written again when the name or a limit changes."""

    id: str
    name: str
    created: str
    """RFC 3339, UTC, nanoseconds."""
    created_ns: int
    image: str
    """The image's id, `sha256:…`."""
    chain: list[str]
    """The image's chain ids, bottom first: the layers its root is made of."""
    platform: str
    config: Config
    host_config: HostConfig
    ids: IdRange | None = None
    """Of its own user namespace; None where it has none of its own."""
    networks: dict[str, EndpointSettings] = {}
    """Those that it is in, by name; the one of its network mode first."""
    mounts: list[MountPoint] = []
    """What is mounted into it, whatever asked for it; those above others come first."""

    @property
    def short_id(self) -> str:
        """The 12 characters that people see."""
        return self.id[:12]

    @property
    def layers(self) -> list[str]:
        """The layers that its root, and the images mounted into it, stand on; by chain id."""
        return [*self.chain, *(one for point in self.mounts for one in point.chain)]

    @property
    def images(self) -> set[str]:
        """The ids of the image that it was made from, and of those mounted into it."""
        return {self.image, *(point.source for point in self.mounts if point.type == "image")}

    @property
    def network(self) -> str:
        """What its network mode means: `default` is the network `bridge`."""
        mode = self.host_config.network_mode
        return "bridge" if mode in ("", "default") else mode


class Fault(msgspec.Struct, omit_defaults=True, rename="pascal", kw_only=True):
    """Why a run came to nothing, or to a bad end, as data."""

    kind: str
    """oom, timeout, command-not-found, command-not-executable, killed or start-failed."""
    message: str
    signal: int = 0
    """The signal's number where one ended it."""
    peak: int = 0
    """Of one that ran out of memory: the most that it had, in bytes; 0 where nobody knows."""
    step: str = ""
    """The launcher's operation at which a start failed."""


class Probe(msgspec.Struct, rename="pascal", kw_only=True):
    """One run of a health check; times are RFC 3339."""

    start: str
    end: str
    exit_code: int
    """0 is healthy; -1 when it could not run, or not in time."""
    output: str


class Health(msgspec.Struct, rename="pascal", kw_only=True):
    """What a container's health checks have said."""

    status: str = "starting"
    """starting, healthy or unhealthy."""
    failing_streak: int = 0
    log: list[Probe] = []
    """The last five, oldest first."""


class State(msgspec.Struct, kw_only=True):
    """What has become of it: `state.json`, rewritten at every change; absent until the start."""

    status: str = "created"
    """created, running, restarting (between two runs), exited or dead."""
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = NEVER
    finished_at: str = NEVER
    oom_killed: bool = False
    manually_stopped: bool = False
    """True when the run was ended by hand: no restart policy undoes that."""
    restart_asked: bool = False
    """True from a request to restart it until its next start."""
    restart_count: int = 0
    """How often its restart policy has started it since somebody did."""
    fault: Fault | None = None
    health: Health | None = None
    paused: bool = False
    """True while it runs and is held still."""

    @property
    def running(self) -> bool:
        """True between a start that succeeded and the exit."""
        return self.status == "running"

    @property
    def restarting(self) -> bool:
        """True between two runs, while its restart policy waits."""
        return self.status == "restarting"

    @property
    def active(self) -> bool:
        """True while it runs or is about to again."""
        return self.running or self.restarting

    @property
    def shown(self) -> str:
        """The status as the API says it."""
        return "paused" if self.paused else self.status


class ExitRecord(msgspec.Struct, kw_only=True):
    """The shim's `exit.json`: what a later engine reads of an exit that it did not see."""

    code: int
    signal: int | None = None
    at: str = NEVER
    oom: bool = False
    started_at: str = NEVER
    peak: int = 0
    times: dict[str, int] = {}
