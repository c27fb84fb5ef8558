"""From a container's record to the bundle that the shim launches: a pure function.

The bundle is an OCI runtime spec with the key `ipycontainer` beside it; docs/architecture.md says
what each side makes of it. Orders, sizes and options are those of Docker's default spec, and
stricter where docs/architecture.md says why: every mount is `nodev`.
"""

import os
import posixpath
from collections.abc import Sequence

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.devices import host_devices
from ipycontainer_runtime.engine.joining import NOTHING_JOINED, Joined
from ipycontainer_runtime.engine.mounts import Placed
from ipycontainer_runtime.engine.namespaces import donor_of, own_kinds
from ipycontainer_runtime.engine.resources import limits
from ipycontainer_runtime.engine.security import Security
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.oci.runtime import (
    Capabilities,
    IdRange,
    Linux,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Spec,
)
from ipycontainer_runtime.store.records import HostConfig, Record

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_FILES = ("resolv.conf", "hostname", "hosts")
"""Files of the container's folder that are mounted over those in /etc."""

_QUIET = ("nosuid", "noexec", "nodev")
_PROC = Mount("proc", "proc", "/proc", _QUIET)
_DEV = Mount(
    "tmpfs", "tmpfs", "/dev", ("nosuid", "nodev", "strictatime", "mode=755", "size=65536k")
)
# No nodev here: its terminals are devices, and the kernel lets nobody add others to it.
_PTS_OPTIONS = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
_TTY = "gid=5"
# The group tty, which no user namespace with one id has.
_PTS = Mount("devpts", "devpts", "/dev/pts", (*_PTS_OPTIONS, _TTY))
_PTS_OF_ONE = Mount("devpts", "devpts", "/dev/pts", _PTS_OPTIONS)
_SYS = Mount("sysfs", "sysfs", "/sys", (*_QUIET, "ro"))
_PROC_OF_HOST = Mount("bind", "/proc", "/proc", ("rbind", "rprivate", *_QUIET))
_SYS_OF_HOST = Mount("bind", "/sys", "/sys", ("rbind", "rprivate", *_QUIET, "ro"))
_MQUEUE = Mount("mqueue", "mqueue", "/dev/mqueue", _QUIET)
_MQUEUE_OF_HOST = Mount("bind", "/dev/mqueue", "/dev/mqueue", ("rbind", "rprivate", *_QUIET))


def build_spec(
    record: Record,
    *,
    folder: str,
    rootfs: Sequence[Mount],
    placed: Placed,
    security: Security,
    seccomp: str | None,
    cgroups: Cgroups,
    grade: Grade,
    joined: Joined = NOTHING_JOINED,
    links: Sequence[str] = (),
) -> Spec:
    """Return the bundle of a container.

    `folder` is the container's own, with HOST_FILES in it; `rootfs` is what the snapshotter gave;
    `placed` is what a person mounts; `seccomp` is the path of the compiled filter, None for none;
    `links` are the variables of those to which it is linked.
    """
    config, host = record.config, record.host_config
    mounts = _system_mounts(host, cgroups, grade)
    mounts += file_mounts(joined.files or folder, host)
    mounts += placed.mounts
    ids = id_range(record, grade)
    if ids and ids["first"]:
        mounts = [_owned(mount, ids) for mount in mounts]
    root = f"{folder}/rootfs"
    return {
        "ociVersion": "1.2.0",
        "process": build_process(record, security, links, rootless=grade.rootless),
        "root": {"path": root, "readonly": host.readonly_rootfs},
        "hostname": "" if host.uts_mode == "host" else config.hostname,
        "domainname": config.domainname,
        "mounts": [mount.to_spec() for mount in mounts],
        "linux": _linux(host, cgroups, placed.hidden, joined, grade),
        "ipycontainer": {
            "rootfs": [mount.to_spec() for mount in rootfs],
            "rootfs_path": root,
            "seccomp": seccomp,
            "user": config.user,
            "groups": host.group_add or [],
            "init": bool(host.init),
            "devices": True,
            "host_devices": host_devices(host),
            "loopback": host.network_mode != "host" and not donor_of(host.network_mode),
            "ids": ids,
            "shm": joined.shm,
            "binds_from": f"/proc/{os.getpid()}/ns/mnt" if placed.mounts else "",
        },
    }


def id_range(record: Record, grade: Grade) -> IdRange | None:
    """Return the ids of a container's own user namespace as the launcher takes them.

    Where containers see each other's processes in /proc each has one with all ids of the engine,
    since the kernel lets nobody look into a process of another namespace (ptrace(2)).
    """
    if record.ids is None:
        return {"first": 0, "count": grade.ids} if grade.masked else None
    return {"first": record.ids.first, "count": record.ids.count}


def _owned(mount: Mount, ids: IdRange) -> Mount:
    """Give a file system that is made before the user namespace is entered to its root."""
    assert isinstance(mount.options, tuple), "an overlay is no system mount"
    options = mount.options
    if mount.type == "tmpfs":
        options = (f"uid={ids['first']}", f"gid={ids['first']}", *options)
    elif mount.type == "devpts":
        options = (*(option for option in options if option != _TTY), f"gid={ids['first'] + 5}")
    return Mount(mount.type, mount.source, mount.destination, options)


def build_process(
    record: Record, security: Security, links: Sequence[str] = (), *, rootless: bool
) -> Process:
    """Return the container's first process; the launcher resolves its user inside the root."""
    config, host = record.config, record.host_config
    height, width = (host.console_size or [0, 0])[:2]
    process: Process = {
        "terminal": config.tty,
        "args": config.command,
        "env": environment(record, tty=config.tty, links=links),
        "cwd": posixpath.normpath(config.working_dir or "/"),
        "capabilities": capability_sets(security),
        "rlimits": _rlimits(host),
        "noNewPrivileges": security.no_new_privileges or rootless,
        "oomScoreAdj": host.oom_score_adj,
    }
    if config.tty and height and width:
        process["consoleSize"] = {"height": height, "width": width}
    return process


def capability_sets(security: Security) -> Capabilities:
    """Return the sets of a process: what it may have, nothing that it would pass on unasked."""
    names = sorted(security.capabilities)
    return {
        "bounding": names,
        "effective": names,
        "permitted": names,
        "inheritable": [],
        "ambient": [],
    }


def environment(
    record: Record, *, tty: bool, links: Sequence[str] = (), extra: Sequence[str] = ()
) -> list[str]:
    """Return the environment: Docker's own entries, those of links, the container's, then `extra`.

    A name without `=` takes a variable away. HOME is the launcher's: it reads /etc/passwd.
    """
    config = record.config
    own = [DEFAULT_PATH, f"HOSTNAME={config.hostname}", *(["TERM=xterm"] if tty else [])]
    values: dict[str, str | None] = {}
    for entry in (*own, *links, *(config.env or ()), *extra):
        name, equals, _ = entry.partition("=")
        values[name] = entry if equals else None
    return [entry for entry in values.values() if entry is not None]


def _system_mounts(host: HostConfig, cgroups: Cgroups, grade: Grade) -> list[Mount]:
    # A proc belongs to its pid namespace's owner, and a sysfs to its network namespace's, which a
    # rootless engine is not for the host's; nor may it show what somebody else's container masks.
    shown = grade.rootless and host.pid_mode == "host"
    proc = _PROC_OF_HOST if shown or grade.masked else _PROC
    shown = grade.rootless and host.network_mode == "host"
    sysfs = _SYS_OF_HOST if shown or grade.masked else _SYS
    pts = _PTS_OF_ONE if grade.one_id else _PTS
    mounts = [proc, _DEV, pts, sysfs, *cgroups.mounts]
    # The queues of the host's own namespace are mounted by nobody who is not its owner.
    if not (grade.rootless and host.ipc_mode == "host"):
        mounts.append(_MQUEUE)
    elif os.path.ismount("/dev/mqueue"):
        mounts.append(_MQUEUE_OF_HOST)
    if host.privileged:
        mounts = [_writable(mount) for mount in mounts]
    if host.ipc_mode == "host":
        shm = os.path.realpath("/dev/shm")  # noqa: S108 - the host's own
        mounts.append(Mount("bind", shm, "/dev/shm", ("rbind", "rprivate", *_QUIET)))  # noqa: S108 - in the container
    elif host.ipc_mode != "none" and not donor_of(host.ipc_mode):
        options = (*_QUIET, "mode=1777", f"size={host.shm_size}")
        mounts.append(Mount("tmpfs", "shm", "/dev/shm", options))  # noqa: S108 - in the container
    return mounts


def _writable(mount: Mount) -> Mount:
    assert isinstance(mount.options, tuple), "an overlay is no system mount"
    options = tuple(option for option in mount.options if option != "ro")
    return Mount(mount.type, mount.source, mount.destination, options)


def file_mounts(folder: str, host: HostConfig) -> list[Mount]:
    """Return the mounts of the container's own HOST_FILES."""
    options = ("rbind", "rprivate", *(("ro",) if host.readonly_rootfs else ()))
    return [Mount("bind", f"{folder}/{name}", f"/etc/{name}", options) for name in HOST_FILES]


def _rlimits(host: HostConfig) -> list[Rlimit]:
    return [
        {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard}
        for limit in host.ulimits or ()
    ]


def _net_sysctls(host: HostConfig, grade: Grade) -> dict[str, str]:
    """Return what Docker sets in a network that is a container's own.

    Ports below 1024 are nobody's in particular there. A /proc that is shown is the host's.
    """
    if host.network_mode == "host" or donor_of(host.network_mode) or grade.masked:
        return {}
    return {"net.ipv4.ip_unprivileged_port_start": "0"}


def _linux(
    host: HostConfig, cgroups: Cgroups, hidden: Sequence[str], joined: Joined, grade: Grade
) -> Linux:
    given = {namespace["type"] for namespace in joined.namespaces}
    own: list[Namespace] = [{"type": kind} for kind in own_kinds(host) if kind not in given]
    return {
        "namespaces": [*own, *joined.namespaces],
        "resources": limits(host),
        "sysctl": {**_net_sysctls(host, grade), **(host.sysctls or {})},
        "maskedPaths": [*(host.masked_paths or ()), *hidden],
        "readonlyPaths": [
            *(() if host.privileged else cgroups.readonly),
            *(host.readonly_paths or ()),
        ],
    }
